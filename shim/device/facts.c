#include "device/facts.h"

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "device/store.h"
#include "plist/tree.h"

static char *read_text(const struct vtd *d, const char *name)
{
    struct vt_buf text = VT_BUF_INIT;
    char *path = vtd_root_path(d, "%s", name);
    if (vt_read_file(path, 64u << 10, &text, NULL))
        vt_buf_clear(&text);
    while (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = '\0';
    vt_free(path);
    return vt_buf_steal(&text);
}

/* A value of os-release, without quotes. */
static void os_release(const char *text, const char *key, char *out, size_t size)
{
    size_t n = strlen(key);
    out[0] = '\0';
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) != 0 || line[n] != '=')
            continue;
        const char *value = line + n + 1;
        value += *value == '"';
        snprintf(out, size, "%.*s", (int)strcspn(value, "\"\n"), value);
        return;
    }
}

static void set_system(const struct vtd *d, plist_t facts)
{
    char name[100], version[100];
    struct utsname kernel = {.release = ""};
    char *release = read_text(d, "etc/os-release"), *debian = read_text(d, "etc/debian_version");
    os_release(release, "NAME", name, sizeof name);
    os_release(release, "VERSION_ID", version, sizeof version);
    uname(&kernel);
    vt_plist_set_str(facts, "OSVersion", debian[0] ? debian : version);
    vt_plist_set_str(facts, "BuildVersion", kernel.release);
    vt_plist_set_str(facts, "ModelName", name[0] ? name : "Linux");
    vt_plist_set_str(facts, "Model", "vmtest-device");
    vt_plist_set_str(facts, "ProductName", "vmtest-device");
    vt_plist_set_bool(facts, "IsAppleSilicon", false);
    vt_plist_set_bool(facts, "SupportsiOSAppInstalls", false);
    vt_plist_set_bool(facts, "HasBattery", false);
    vt_free(release);
    vt_free(debian);
}

static void set_capacity(const struct vtd *d, plist_t facts)
{
    struct statvfs fs;
    if (statvfs(d->root[0] ? d->root : "/", &fs))
        return;
    const double unit = (double)fs.f_frsize / 1e9; /* GB, as Apple counts */
    plist_dict_set_item(facts, "DeviceCapacity", plist_new_real((double)fs.f_blocks * unit));
    plist_dict_set_item(facts, "AvailableDeviceCapacity",
                        plist_new_real((double)fs.f_bavail * unit));
}

static void set_network(const struct vtd *d, plist_t facts)
{
    char host[256] = "";
    char *ethernet = read_text(d, "sys/class/net/eth0/address");
    char *wifi = read_text(d, "sys/class/net/wlan0/address");
    gethostname(host, sizeof host - 1);
    vt_plist_set_str(facts, "HostName", host);
    vt_plist_set_str(facts, "LocalHostName", host);
    if (ethernet[0])
        vt_plist_set_str(facts, "EthernetMAC", ethernet);
    if (wifi[0])
        vt_plist_set_str(facts, "WiFiMAC", wifi);
    vt_free(ethernet);
    vt_free(wifi);
}

plist_t vtd_facts(const struct vtd *d, const struct vtd_mdm *mdm)
{
    static const char *const own[] = {"UDID", "SerialNumber", "DeviceName"};
    plist_t facts = plist_new_dict();
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        vt_plist_set_str(facts, own[i], vt_plist_str(d->self, own[i], ""));
    set_system(d, facts);
    set_capacity(d, facts);
    set_network(d, facts);
    vt_plist_set_bool(facts, "AwaitingConfiguration", false);
    vt_plist_set_bool(facts, "IsActivationLockEnabled", false);
    vt_plist_set_bool(facts, "IsActivationLockSupported", false);
    vt_plist_set_bool(facts, "SystemIntegrityProtectionEnabled", false);
    plist_t organization = vt_plist_dict(d->self, "OrganizationInfo");
    if (organization)
        plist_dict_set_item(facts, "OrganizationInfo", plist_copy(organization));
    if (mdm) {
        size_t n;
        const void *token = vt_plist_data(mdm->state, "Token", &n);
        vt_plist_set_data(facts, "PushToken", token, n);
        /* since macOS 11 a Mac whose enrollment a person approved is supervised */
        vt_plist_set_bool(facts, "IsSupervised", vt_plist_bool(mdm->state, "UserApproved", false));
    }
    return facts;
}

static bool enforced(plist_t record, plist_t payload)
{
    plist_t effects = vt_plist_array(record, "Effects");
    for (uint32_t i = 0; effects && i < plist_array_get_size(effects); i++) {
        plist_t effect = plist_array_get_item(effects, i);
        if (!strcmp(vt_plist_str(effect, "PayloadUUID", ""),
                    vt_plist_str(payload, "PayloadUUID", "")))
            return !strcmp(vt_plist_str(effect, "State", ""), "enforced");
    }
    return false;
}

/* What the firewall's payloads came to; several add up. */
static void set_firewall(const struct vtd_mdm *mdm, plist_t security)
{
    bool on = false, all = false, stealth = false;
    for (uint32_t i = 0; i < plist_array_get_size(mdm->records); i++) {
        plist_t record = plist_array_get_item(mdm->records, i);
        plist_t payloads = vtd_record_payloads(record);
        for (uint32_t k = 0; k < plist_array_get_size(payloads); k++) {
            plist_t payload = plist_array_get_item(payloads, k);
            if (strcmp(vt_plist_str(payload, "PayloadType", ""), "com.apple.security.firewall") !=
                    0 ||
                !enforced(record, payload) || !vt_plist_bool(payload, "EnableFirewall", false))
                continue;
            on = true;
            all = all || vt_plist_bool(payload, "BlockAllIncoming", false);
            stealth = stealth || vt_plist_bool(payload, "EnableStealthMode", false);
        }
    }
    plist_t firewall = vt_plist_set_dict(security, "FirewallSettings");
    vt_plist_set_bool(firewall, "FirewallEnabled", on);
    vt_plist_set_bool(firewall, "BlockAllIncoming", all);
    vt_plist_set_bool(firewall, "StealthMode", stealth);
    vt_plist_set_array(firewall, "Applications");
}

plist_t vtd_security_facts(const struct vtd_mdm *mdm)
{
    static const char *const not_so[] = {"FDE_Enabled",
                                         "FDE_HasPersonalRecoveryKey",
                                         "FDE_HasInstitutionalRecoveryKey",
                                         "RemoteDesktopEnabled",
                                         "SystemIntegrityProtectionEnabled",
                                         "AuthenticatedRootVolumeEnabled",
                                         "IsRecoveryLockEnabled"};
    plist_t security = plist_new_dict();
    for (size_t i = 0; i < sizeof not_so / sizeof not_so[0]; i++)
        vt_plist_set_bool(security, not_so[i], false);
    set_firewall(mdm, security);
    plist_t firmware = vt_plist_set_dict(security, "FirmwarePasswordStatus");
    vt_plist_set_bool(firmware, "PasswordExists", false);
    vt_plist_set_bool(firmware, "ChangePending", false);
    plist_t status = vt_plist_set_dict(security, "ManagementStatus");
    vt_plist_set_bool(status, "EnrolledViaDEP", false);
    vt_plist_set_bool(status, "UserApprovedEnrollment",
                      vt_plist_bool(mdm->state, "UserApproved", false));
    vt_plist_set_bool(status, "IsUserEnrollment", false);
    vt_plist_set_bool(status, "IsActivationLockManageable", false);
    plist_t boot = vt_plist_set_dict(security, "SecureBoot");
    vt_plist_set_str(boot, "SecureBootLevel", "not supported");
    vt_plist_set_str(boot, "ExternalBootLevel", "not supported");
    vt_plist_set_str(security, "BootstrapTokenAllowedForAuthentication", "not supported");
    return security;
}
