#include "profile/known.h"

#include <fnmatch.h>
#include <string.h>

#define COUNT(table_) (sizeof(table_) / sizeof *(table_))

static const struct {
    const char *type, *key, *why;
} unfit[] = {
    {"com.apple.wifi.managed", NULL, "a macOS guest has no Wi-Fi, only a virtual Ethernet"},
    {"com.apple.appstore", NULL, "the App Store does not work in a VM"},
    {"com.apple.security.FDERecoveryKeyEscrow", NULL,
     "FileVault's escrow needs an automatic device enrollment, which a VM cannot do"},
    {"com.apple.lom", NULL, "lights-out management is hardware that a VM does not have"},
    {"com.apple.security.smartcard", NULL, "a macOS guest has no card reader"},
    {"com.apple.applicationaccess", "allowFingerprintForUnlock", "a VM has no Touch ID"},
    {"com.apple.applicationaccess", "allowFingerprintModification", "a VM has no Touch ID"},
    {"com.apple.applicationaccess", "allowAirDrop",
     "AirDrop needs Wi-Fi, which a VM does not have"},
    {"com.apple.applicationaccess", "allowiPhoneMirroring",
     "mirroring needs Bluetooth and Wi-Fi, which a VM does not have"},
    {"com.apple.security.acme", "Attest", "a VM has no Secure Enclave that could attest"},
};

const char *vt_known_unfit(const char *type, const char *key)
{
    for (size_t i = 0; i < COUNT(unfit); i++)
        if (!strcmp(unfit[i].type, type) &&
            (key ? unfit[i].key && !strcmp(unfit[i].key, key) : !unfit[i].key))
            return unfit[i].why;
    return NULL;
}

static const struct {
    const char *type, *key, *substitute;
} substitutes[] = {
    {"com.apple.TCC.configuration-profile-policy", "Allowed", "Authorization"},
};

const char *vt_known_substitute(const char *type, const char *key, size_t i)
{
    for (size_t t = 0; t < COUNT(substitutes); t++)
        if (!strcmp(substitutes[t].type, type) && !strcmp(substitutes[t].key, key) && i-- == 0)
            return substitutes[t].substitute;
    return NULL;
}

struct pair {
    const char *type, *word;
};

static bool has_pair(const struct pair *pairs, size_t n, const char *type, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(pairs[i].type, type) && !strcmp(pairs[i].word, word))
            return true;
    return false;
}

bool vt_known_optional(const char *type, const char *key)
{
    static const struct pair optional[] = {
        {"com.apple.screensaver", "moduleName"},
        {"com.apple.configurationprofile.identification", "Password"},
        {"com.apple.xsan", "sharedSecret"},
    };
    return has_pair(optional, COUNT(optional), type, key);
}

bool vt_known_value(const char *type, const char *value)
{
    static const struct pair values[] = {
        {"com.apple.systemuiserver", "alert"}, /* of mount-controls: tell, then let it happen */
    };
    return has_pair(values, COUNT(values), type, value);
}

const char *vt_known_base(const char *type)
{
    return !strcmp(type, "com.apple.vpn.managed.applayer") ? "com.apple.vpn.managed" : NULL;
}

bool vt_known_independent(const char *type)
{
    static const char *const patterns[] = {
        "com.apple.*.account",
        "com.apple.*ethernet.managed",
        "com.apple.ADCertificate.managed",
        "com.apple.associated-domains",
        "com.apple.configurationprofile.identification",
        "com.apple.declarations",
        "com.apple.dnsSettings.managed",
        "com.apple.extensiblesso",
        "com.apple.font",
        "com.apple.google-oauth",
        "com.apple.mail.managed",
        "com.apple.notificationsettings",
        "com.apple.relay.managed",
        "com.apple.security.acme",
        "com.apple.security.certificatepreference",
        "com.apple.security.identitypreference",
        "com.apple.security.pem",
        "com.apple.security.pkcs1",
        "com.apple.security.pkcs12",
        "com.apple.security.root",
        "com.apple.security.scep",
        "com.apple.servicemanagement",
        "com.apple.sso",
        "com.apple.syspolicy.kernel-extension-policy",
        "com.apple.system-extension-policy",
        "com.apple.systempolicy.rule",
        "com.apple.vpn.managed*",
        "com.apple.webClip.managed",
        "com.apple.webcontent-filter",
        "com.apple.wifi.managed",
    };
    for (size_t i = 0; i < COUNT(patterns); i++)
        if (!fnmatch(patterns[i], type, 0))
            return true;
    return false;
}
