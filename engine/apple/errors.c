/* What an NSError of the framework means. Numbers of VZErrorDomain are those of VZError.h. */
#include <string.h>
#include <strings.h>

#include "vmtest/apple.h"

#define VZ "VZErrorDomain"
#define POSIX "NSPOSIXErrorDomain"
#define COCOA "NSCocoaErrorDomain"
#define OSSTATUS "NSOSStatusErrorDomain"
#define ANY_CODE 0
#define TEXT_OF(n) #n
#define TEXT(n) TEXT_OF(n)

#define UNLOCK                                                                                     \
    "from macOS 15 on, starting a virtual machine needs an unlocked login keychain: log in at "    \
    "the "                                                                                         \
    "screen as this user (automatic login will do), or run `security unlock-keychain` in the "     \
    "same "                                                                                        \
    "session before"

struct meaning {
    const char *domain;
    long number;      /* ANY_CODE: every one that no other row of the domain has */
    const char *part; /* in the text, case aside; NULL: whatever it says. Such rows come first */
    const char *op;   /* in the operation's name; NULL: any */
    enum vt_code code;
    const char *message;
    const char *hint;
};

static const struct meaning meanings[] = {
    /* the keychain: under several numbers */
    {VZ, -9, NULL, NULL, VT_EHYPERVISOR, "the host's key for virtual machines cannot be used",
     UNLOCK},
    {OSSTATUS, -25308, NULL, NULL, VT_EHYPERVISOR, "the login keychain is locked", UNLOCK},
    {OSSTATUS, -25307, NULL, NULL, VT_EHYPERVISOR, "there is no default keychain", UNLOCK},
    {VZ, ANY_CODE, "hostkey", NULL, VT_EHYPERVISOR,
     "the host's key for virtual machines cannot be made", UNLOCK},
    {VZ, ANY_CODE, "keychain", NULL, VT_EHYPERVISOR, "the login keychain cannot be used", UNLOCK},

    {VZ, 1, NULL, NULL, VT_EHYPERVISOR, "the framework failed inside",
     "the reason is in `log show --last 5m --predicate 'process CONTAINS \"Virtualization\"'`; "
     "errKCInteractionNotAllowed "
     "(-25308) there means a locked login keychain: `security unlock-keychain`"},
    {VZ, 2, "entitlement", NULL, VT_EUNSUPPORTED, "the helper lacks an entitlement",
     "sign it: codesign --force --sign - --entitlements vmtest-vz.entitlements PROGRAM "
     "(docs/mac.md, "
     "\"Signing\")"},
    {VZ, 2, NULL, NULL, VT_EINVAL, "the framework refuses the virtual machine's configuration",
     "the text names the device or amount; vmtest features tells what this Mac can do"},
    {VZ, 3, NULL, NULL, VT_ESTATE, "not possible in the virtual machine's present state", NULL},
    {VZ, 4, NULL, NULL, VT_ESTATE,
     "the virtual machine cannot go from its present state to that one", NULL},
    {VZ, 5, NULL, NULL, VT_EIMAGE, "a disk image cannot be used",
     "vmtest image verify NAME checks it; raw images work on every macOS, ASIF ones from 26 on"},
    {VZ, 6, NULL, NULL, VT_ELIMIT,
     "this host runs as many macOS guests as macOS allows (" TEXT(VT_MACOS_GUESTS_MAX) ")",
     "vmtest doctor shows vmtest's own; end those of other programs. Where none runs, a slot has "
     "leaked: restart the host"},
    {VZ, 7, NULL, NULL, VT_EIO, "a network of the virtual machine failed", NULL},
    {VZ, 8, NULL, NULL, VT_ENOSPC, "the host's disk is full",
     "free some space: vmtest gc, vmtest vm rm NAME"},
    {VZ, 9, NULL, NULL, VT_ECANCELED, "cancelled", NULL},
    {VZ, 10, NULL, NULL, VT_EUNSUPPORTED, "this Mac cannot do that",
     "vmtest features tells what it can do, and since when"},
    {VZ, 11, NULL, NULL, VT_EHYPERVISOR, "the virtual machine's state could not be saved",
     "audio streams and USB input rule it out; macOS tells by no list what else does"},
    {VZ, 12, "invalid argument", NULL, VT_EIMAGE, "the saved state is not readable here",
     "it was saved by newer software, on another Mac, or of another configuration: take the "
     "snapshot anew here"},
    {VZ, 12, NULL, NULL, VT_EHYPERVISOR, "the virtual machine's state could not be restored",
     "a saved state belongs to its Mac, its macOS and its configuration: take the snapshot anew"},
    {VZ, 10001, NULL, NULL, VT_EIO, "Apple's list of restore images could not be loaded",
     "check the network, and that the helper is signed (docs/mac.md); or give a file: --set "
     "ipsw=FILE"},
    {VZ, 10002, NULL, NULL, VT_EPROTO, "Apple's list of restore images cannot be read", NULL},
    {VZ, 10003, NULL, NULL, VT_EUNSUPPORTED, "no restore image is offered for this Mac",
     "update macOS on the host"},
    {VZ, 10004, NULL, NULL, VT_EIO, "the restore image could not be loaded",
     "its path must be absolute, readable and without symbolic links"},
    {VZ, 10005, NULL, NULL, VT_EIMAGE, "the restore image is broken, or none",
     "fetch it again and compare its checksum"},
    {VZ, 10006, NULL, NULL, VT_EUNSUPPORTED,
     "the host needs an update before it can install this guest",
     "update macOS on the host, or install the device support that comes with the Xcode of that "
     "guest's release"},
    {VZ, 10007, NULL, NULL, VT_EHYPERVISOR, "the installation of macOS failed",
     "late in it (about 78 %) that means a guest newer than the host: update the host, or take an "
     "older restore image"},
    {VZ, 20001, NULL, NULL, VT_EIO, "the NBD server and this Mac did not agree",
     "check the export's name; the helper needs the entitlement com.apple.security.network.client"},
    {VZ, 20002, NULL, NULL, VT_EIO, "the NBD server was lost", NULL},
    {VZ, 30001, NULL, NULL, VT_EUNSUPPORTED, "the virtual machine has no USB controller", NULL},
    {VZ, 30002, NULL, NULL, VT_ESTATE, "the device is attached already", NULL},
    {VZ, 30003, NULL, NULL, VT_EHYPERVISOR, "the device could not be set up", NULL},
    {VZ, 30004, NULL, NULL, VT_ENOTFOUND, "the device is not attached", NULL},
    {VZ, 40001, NULL, NULL, VT_EINVAL, "macOS does not take the full name of the guest's account",
     NULL},
    {VZ, 40002, NULL, NULL, VT_EINVAL, "macOS does not take the name of the guest's account", NULL},
    {VZ, 40003, NULL, NULL, VT_EINVAL, "macOS does not take the password of the guest's account",
     NULL},
    {VZ, 50001, NULL, NULL, VT_EHYPERVISOR, "the keys of Secure Boot could not be enrolled", NULL},
    {VZ, 50002, NULL, NULL, VT_EIO, "the EFI variables cannot be read or written",
     "check the file of the variable store: its mode, and that it is whole"},

    {POSIX, 65, NULL, NULL, VT_EIO, "no route to the guest",
     "macOS 15 and later ask for the Local Network privacy of the program that was started: allow "
     "it in System Settings, "
     "or reach the guest by vsock (docs/mac.md, \"Prompts\")"},
    {POSIX, 22, NULL, "restore", VT_EIMAGE, "the saved state is not readable here",
     "it was saved by newer software, on another Mac, or of another configuration: take the "
     "snapshot anew here"},
    {POSIX, 28, NULL, NULL, VT_ENOSPC, "the host's disk is full",
     "free some space: vmtest gc, vmtest vm rm NAME"},
    {POSIX, 2, NULL, NULL, VT_ENOTFOUND, "a file is not there", NULL},
    {COCOA, 4, NULL, NULL, VT_ENOTFOUND, "a file is not there", NULL},
    {COCOA, 260, NULL, NULL, VT_ENOTFOUND, "a file is not there", NULL},
    {COCOA, 257, NULL, NULL, VT_EIO, "a file may not be read",
     "check its mode, and that the program may use the folder (System Settings, Privacy, Files and "
     "Folders)"},
    {COCOA, 513, NULL, NULL, VT_EIO, "a file may not be written",
     "check the folder's mode, and that the program may use it (System Settings, Privacy, Files "
     "and Folders)"},
    {COCOA, 640, NULL, NULL, VT_ENOSPC, "the host's disk is full",
     "free some space: vmtest gc, vmtest vm rm NAME"},
};
static bool holds(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; text && *text; text++)
        if (!strncasecmp(text, part, n))
            return true;
    return false;
}

static const struct meaning *find(const char *domain, long number, const char *op, const char *text)
{
    for (size_t i = 0; domain && i < sizeof meanings / sizeof *meanings; i++) {
        const struct meaning *m = &meanings[i];
        if (!strcmp(m->domain, domain) && (m->number == ANY_CODE || m->number == number) &&
            (!m->part || holds(text, m->part)) && (!m->op || holds(op, m->op)))
            return m;
    }
    return NULL;
}

enum vt_code vt_apple_fail(struct vt_error *err, const char *op, const char *domain, long code,
                           const char *text)
{
    const struct meaning *m = find(domain, code, op, text);
    const char *message = m ? m->message : "macOS refused";
    const char *said = text && *text ? text : "no reason was given";
    enum vt_code kind = m ? m->code : VT_EHYPERVISOR;
    vt_fail(err, kind, op, "%s: %s (%s %ld)", message, said,
            domain && *domain ? domain : "no domain", code);
    if (m && m->hint)
        vt_hint(err, "%s", m->hint);
    return kind;
}
