#include <string.h>

#include "mscp/mscp.h"
#include "mscp/settings.h"
#include "plist/tree.h"

/* What the suite does with its tables. `CLASS` and `NAME` are put in. */
static const char runtime[] =
    "-- ---- what is done with them ----\n"
    "\n"
    "local function is_mac(vm) return vm:exec({ \"/usr/bin/sw_vers\", \"-productName\" }).status "
    "== 0 "
    "end\n"
    "\n"
    "-- As root, in the shell that mSCP's own scripts use.\n"
    "local function run(vm, script)\n"
    "  local words = { \"/bin/zsh\", \"--no-rcs\", \"-c\", script }\n"
    "  if vm:exec({ \"/usr/bin/id\", \"-u\" }).stdout ~= \"0\\n\" then\n"
    "    table.move({ \"/usr/bin/sudo\", \"-n\", table.unpack(words) }, 1, #words + 2, 1, words)\n"
    "  end\n"
    "  return vm:exec(words)\n"
    "end\n"
    "\n"
    "local prepared = vmtest.fixture(\"mscp-NAME\", { from = IMAGE }, function(vm)\n"
    "  if #profiles > 0 then\n"
    "    local device = vm:enroll()\n"
    "    for _, name in ipairs(profiles) do device:install_profile(name) end\n"
    "  end\n"
    "  if not is_mac(vm) then return end\n"
    "  for _, rule in ipairs(rules) do\n"
    "    local fixed = rule.fix and run(vm, rule.fix)\n"
    "    if fixed and fixed.status ~= 0 then\n"
    "      vmtest.log(rule.id .. \": its fix ended with \" .. tostring(fixed.status) .. \": \" .. "
    "fixed.stderr)\n"
    "    end\n"
    "  end\n"
    "end)\n"
    "\n"
    "-- The tests only look, so one VM serves them all.\n"
    "CLASS = vmtest.class { fixture = prepared, needs = { \"mdm\" }, reset = \"class\" }\n"
    "\n"
    "function CLASS:setupClass() self.mac = is_mac(self.vm) end\n"
    "\n"
    "-- On a Mac the rule's own check decides. On a guest that stands in for one, the settings "
    "that "
    "its\n"
    "-- profile has brought are compared.\n"
    "local function test(self, rule)\n"
    "  if self.mac and rule.check then\n"
    "    local out = run(self.vm, rule.check).stdout:gsub(\"%s+$\", \"\")\n"
    "    lu.assertEquals(out, rule.expected, rule.title)\n"
    "  elseif rule.settings then\n"
    "    for domain, keys in pairs(rule.settings) do\n"
    "      for key, value in pairs(keys) do self.vm:assert_managed(domain, key, value) end\n"
    "    end\n"
    "  else\n"
    "    vmtest.skip(\"its check runs on a macOS guest only\")\n"
    "  end\n"
    "end\n"
    "\n"
    "for _, rule in ipairs(rules) do\n"
    "  CLASS[\"test_\" .. rule.id:gsub(\"[^%w_]\", \"_\")] =\n"
    "    vmtest.test({ tags = { rule.section, rule.severity } }, function(self) test(self, rule) "
    "end)\n"
    "end\n"
    "\n"
    "os.exit(lu.LuaUnit.run())\n";

static void put_field(struct vt_buf *out, const char *name, const char *text)
{
    if (!text)
        return;
    vt_buf_printf(out, "    %s = ", name);
    vt_mscp_lua_text(out, text);
    vt_buf_puts(out, ",\n");
}

static plist_t merged(const struct vt_mscp_profiles *profiles, const char *type)
{
    for (size_t i = 0; i < profiles->count; i++)
        if (!strcmp(profiles->v[i].type, type))
            return profiles->v[i].settings;
    return NULL;
}

/* The keys of one domain. Lists and dictionaries are what all rules together made of them. */
static void put_keys(struct vt_buf *out, const char *domain, plist_t keys, plist_t all)
{
    vt_buf_puts(out, "      [");
    vt_mscp_lua_text(out, domain);
    vt_buf_puts(out, "] = {");
    const char *separator = " ";
    for (struct vt_plist_walk it = vt_plist_walk(keys); vt_plist_next(&it); separator = ", ") {
        bool joined = vt_plist_is(it.value, PLIST_ARRAY) || vt_plist_is(it.value, PLIST_DICT);
        plist_t together = joined ? plist_dict_get_item(all, it.key) : NULL;
        vt_buf_printf(out, "%s[", separator);
        vt_mscp_lua_text(out, it.key);
        vt_buf_puts(out, "] = ");
        vt_mscp_lua_value(out, together ? together : it.value);
    }
    vt_buf_puts(out, " },\n");
}

static void put_settings(struct vt_buf *out, plist_t settings,
                         const struct vt_mscp_profiles *profiles)
{
    if (!settings)
        return;
    vt_buf_puts(out, "    settings = {\n");
    for (struct vt_plist_walk it = vt_plist_walk(settings); vt_plist_next(&it);) {
        plist_t all = merged(profiles, it.key);
        if (strcmp(it.key, VT_MSCP_PREFERENCES) != 0) {
            put_keys(out, it.key, it.value, all);
            continue;
        }
        for (struct vt_plist_walk in = vt_plist_walk(it.value); vt_plist_next(&in);)
            put_keys(out, in.key, in.value, plist_dict_get_item(all, in.key));
    }
    vt_buf_puts(out, "    },\n");
}

static void put_rule(struct vt_buf *out, const struct vt_mscp_rule *r,
                     const struct vt_mscp_profiles *profiles)
{
    vt_buf_puts(out, "  {\n");
    put_field(out, "id", r->id);
    put_field(out, "title", r->title);
    put_field(out, "section", r->section);
    put_field(out, "severity", r->severity);
    put_field(out, "value", r->odv);
    put_field(out, "check", r->check);
    put_field(out, "expected", r->check ? r->expected : NULL);
    put_settings(out, r->settings, profiles);
    put_field(out, "fix", r->fix);
    vt_buf_puts(out, "  },\n");
}

/* A text as what a Lua comment may hold. */
static void put_comment(struct vt_buf *out, const char *text)
{
    for (; *text; text++)
        vt_buf_putc(out, *text == '\n' || *text == '\r' ? ' ' : *text);
}

static void put_head(struct vt_buf *out, const struct vt_mscp_baseline *b, const char *image)
{
    vt_buf_puts(out, "-- ");
    put_comment(out, b->title);
    vt_buf_puts(out, "\n--\n-- Made by `vmtest suite from-mscp` from the macOS Security Compliance "
                     "Project");
    vt_buf_puts(out, *b->version ? " (" : "");
    put_comment(out, b->version);
    vt_buf_puts(out, *b->version ? ")" : "");
    vt_buf_puts(out,
                ".\n-- Titles, checks, fixes and settings are that project's, by its licence (CC BY"
                " 4.0,\n-- github.com/usnistgov/macos_security); values were put in for $ODV.\n");
    for (size_t i = 0; i < b->left_count; i++) {
        vt_buf_puts(out, i ? "--   " : "--\n-- No test could be made of:\n--   ");
        put_comment(out, b->left[i].id);
        vt_buf_printf(out, ": %s\n", b->left[i].why);
    }
    vt_buf_puts(out, "local lu = require \"luaunit\"\nlocal vmtest = require \"vmtest\"\n\n"
                     "local IMAGE = os.getenv \"VMTEST_IMAGE\" or ");
    vt_mscp_lua_text(out, image);
    vt_buf_puts(out, "\n\n");
}

static void put_runtime(struct vt_buf *out, const char *name)
{
    struct vt_buf class = VT_BUF_INIT;
    vt_buf_puts(&class, "TestMscp_");
    for (const char *c = name; *c; c++)
        vt_buf_putc(&class, strchr("-._ ", *c) ? '_' : *c);
    for (const char *c = runtime; *c;) {
        if (!strncmp(c, "CLASS", 5)) {
            vt_buf_puts(out, class.data);
            c += 5;
        } else if (!strncmp(c, "NAME", 4)) {
            vt_buf_puts(out, name);
            c += 4;
        } else {
            vt_buf_putc(out, *c++);
        }
    }
    vt_buf_free(&class);
}

void vt_mscp_write_suite(const struct vt_mscp_baseline *b, const struct vt_mscp_profiles *profiles,
                         const char *image, struct vt_buf *out)
{
    put_head(out, b, image);
    vt_buf_puts(out, "local profiles = {\n");
    for (size_t i = 0; i < profiles->count; i++) {
        struct vt_buf path = VT_BUF_INIT;
        vt_buf_printf(&path, "profiles/%s.mobileconfig", profiles->v[i].type);
        vt_buf_puts(out, "  ");
        vt_mscp_lua_text(out, path.data);
        vt_buf_puts(out, ",\n");
        vt_buf_free(&path);
    }
    vt_buf_puts(out, "}\n\nlocal rules = {\n");
    for (size_t i = 0; i < b->count; i++)
        put_rule(out, &b->rules[i], profiles);
    vt_buf_puts(out, "}\n\n");
    put_runtime(out, b->name);
}
