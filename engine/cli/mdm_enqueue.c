/* vmtest mdm enqueue UDID COMMAND... */
#include <stdio.h>
#include <string.h>

#include "cli/image_common.h"
#include "cli/mdm_session.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "plist/base64.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

#define PROFILE_MAX ((size_t)4 << 20)

enum { WAIT, FORCE, STATE, JSON };

static const struct vt_option options[] = {
    [WAIT] = {0, "wait", "TIME", "wait so long for the device's answer, and show it"},
    [FORCE] = {0, "force", NULL, "also a command that is refused since no VM can do it"},
    [STATE] = {0, "state", "DIR", "the server's state folder (default: the user's own)"},
    [JSON] = {0, "json", NULL, "a JSON object instead of lines"},
    {0},
};

/* --- the command --- */

static enum vt_code read_profile(const char *path, json_t *command, struct vt_error *err)
{
    struct vt_buf bytes = VT_BUF_INIT, text = VT_BUF_INIT;
    enum vt_code code = vt_read_file(path, PROFILE_MAX, &bytes, err);
    if (!code) {
        vt_base64_encode(&text, vt_buf_str(&bytes), bytes.len);
        json_object_set_new(command, "Payload", json_pack("{s:s}", "$data", vt_buf_str(&text)));
    }
    vt_buf_free(&bytes);
    vt_buf_free(&text);
    return code;
}

/* KEY=TEXT, or KEY:=JSON for what is no text. */
static enum vt_code read_pair(const char *word, json_t *command, struct vt_error *err)
{
    const char *equals = strchr(word, '=');
    if (!equals || equals == word)
        return vt_fail(err, VT_EINVAL, "mdm.enqueue", "\"%s\" is no KEY=VALUE", word);
    bool typed = equals[-1] == ':';
    char *key = vt_strndup(word, (size_t)(equals - word) - (size_t)typed);
    json_t *value = typed ? json_loads(equals + 1, JSON_DECODE_ANY, NULL) : json_string(equals + 1);
    enum vt_code code = json_object_set_new(command, key, value)
                            ? vt_fail(err, VT_EINVAL, "mdm.enqueue", "the value of \"%s\" is no %s",
                                      key, typed ? "JSON" : "UTF-8")
                            : VT_OK;
    vt_free(key);
    return code;
}

static json_t *read_command(char **words, struct vt_error *err)
{
    bool install = !strcmp(words[0], "install-profile"),
         remove = !strcmp(words[0], "remove-profile");
    json_t *command = json_pack("{s:s}", "RequestType",
                                install  ? "InstallProfile"
                                : remove ? "RemoveProfile"
                                         : words[0]);
    if ((install || remove) && (!words[1] || words[2]))
        vt_fail(err, VT_EINVAL, "mdm.enqueue", "%s takes %s", words[0],
                install ? "the file of a profile" : "the identifier of a profile");
    else if (install)
        read_profile(words[1], command, err);
    else if (remove)
        json_object_set_new(command, "Identifier", json_string(words[1]));
    else if (!command)
        vt_fail(err, VT_EINVAL, "mdm.enqueue", "the RequestType is not valid UTF-8");
    for (char **w = words + 1; !install && !remove && *w && !err->code; w++)
        read_pair(*w, command, err);
    if (!err->code)
        return command;
    json_decref(command);
    return NULL;
}

/* --- its answer --- */

static void print_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(object);
}

static void print_answer(const struct vt_mdm_answer *a, bool json)
{
    if (json) {
        print_json(json_pack("{s:s, s:s*, s:s, s:i, s:s, s:O}", "uuid", a->uuid, "request_type",
                             a->request_type, "status", vt_mdm_status_name(a->status), "not_now",
                             (int)a->not_now, "errors", a->errors, "reply", a->reply));
        return;
    }
    printf("%s\n", vt_mdm_status_name(a->status));
    if (*a->errors) {
        vt_print_text(a->errors, 0);
        printf("\n");
    }
}

static int wait_answer(struct vt_mdm_session *s, const struct vt_mdm_answer_opts *opts, bool json,
                       struct vt_error *err)
{
    void *result;
    if (vt_mdm_session_wait(s, vt_mdm_wait_answer(s->mdm, opts, vt_mdm_session_done, s, err),
                            &result, err))
        return VT_EXIT_OK;
    const struct vt_mdm_answer *answer = result;
    print_answer(answer, json);
    return answer->status == VT_MDM_ACKNOWLEDGED ? VT_EXIT_OK : VT_EXIT_FAILED;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_mdm_session s;
    double timeout = 0;
    void *result;
    int exit_code = VT_EXIT_OK;
    bool json = values[JSON] != NULL;
    if (values[WAIT] && (vt_parse_duration(values[WAIT], &timeout, &err) || timeout <= 0))
        return vt_cli_usage(self, "--wait takes a time above 0, such as 90s or 5m, not \"%s\"",
                            values[WAIT]);
    json_t *command = read_command(args + 1, &err);
    if (!command)
        return vt_mdm_session_exit(self, &err);
    const struct vt_mdm_command c = {
        .udid = args[0], .command = command, .force = values[FORCE] != NULL};
    if (!vt_mdm_session_open(&s, values[STATE], &err) &&
        !vt_mdm_session_wait(&s, vt_mdm_enqueue(s.mdm, &c, vt_mdm_session_done, &s, &err), &result,
                             &err)) {
        char *uuid = vt_strdup(((const struct vt_mdm_queued *)result)->uuid);
        const struct vt_mdm_answer_opts opts = {.udid = args[0], .uuid = uuid, .timeout = timeout};
        if (values[WAIT])
            exit_code = wait_answer(&s, &opts, json, &err);
        else if (json)
            print_json(json_pack("{s:s}", "uuid", uuid));
        else
            printf("%s\n", uuid);
        vt_free(uuid);
    }
    vt_mdm_session_close(&s);
    json_decref(command);
    return err.code ? vt_mdm_session_exit(self, &err) : exit_code;
}

const struct vt_command vt_cmd_mdm_enqueue = {
    .name = "mdm enqueue",
    .args = "UDID install-profile FILE | remove-profile ID | REQUESTTYPE [KEY=TEXT|KEY:=JSON]...",
    .summary = "queues a command for a device of the running MDM lab server",
    .details =
        "The device gets it when it asks next. Without --wait the command's UUID is printed, "
        "with it\nthe device's answer: 0 where that is Acknowledged, 1 else. Data is written "
        "as\nKEY:='{\"$data\": \"BASE64\"}'.",
    .example = "vmtest mdm enqueue UDID install-profile wifi.mobileconfig --wait 60s\n"
               "vmtest mdm enqueue UDID DeviceInformation Queries:='[\"OSVersion\"]' --wait 60s",
    .options = options,
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
