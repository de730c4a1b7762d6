/* The rules of lint, conflicts and forecast: docs/profiles.md has the same table. */
#include "profile/findings.h"

#define ERROR VT_FINDING_ERROR

static const struct vt_rule rules[VT_RULE_COUNT_] = {
    [VT_RULE_UNREADABLE] = {"unreadable", ERROR, "the file cannot be read"},
    [VT_RULE_NOT_A_PROFILE] = {"not-a-profile", ERROR, "the property list is no profile"},
    [VT_RULE_BLANKS_FIRST] = {"blanks-before-xml", VT_NOTE,
                              "blanks before <?xml, which strict readers refuse"},
    [VT_RULE_DUPLICATE_KEY] = {"duplicate-key", VT_WARNING, "a key twice in one dictionary"},
    [VT_RULE_MISSING_KEY] = {"missing-key", ERROR, "a required key is missing"},
    [VT_RULE_MISSING_VERSION] = {"missing-version", VT_WARNING, "PayloadVersion is missing"},
    [VT_RULE_INVALID_UUID] = {"invalid-uuid", VT_WARNING, "a PayloadUUID that is no UUID"},
    [VT_RULE_DUPLICATE_UUID] = {"duplicate-uuid", ERROR, "a PayloadUUID twice in a profile"},
    [VT_RULE_DUPLICATE_IDENTIFIER] = {"duplicate-identifier", ERROR,
                                      "a PayloadIdentifier twice in a profile"},
    [VT_RULE_UNKNOWN_TYPE] = {"unknown-type", VT_WARNING,
                              "a payload type that Apple's schema does not have"},
    [VT_RULE_UNKNOWN_KEY] = {"unknown-key", VT_WARNING,
                             "a key that Apple's schema does not have there"},
    [VT_RULE_WRONG_TYPE] = {"wrong-type", ERROR, "a value of another type than is due"},
    [VT_RULE_NOT_IN_LIST] = {"not-in-list", ERROR, "a value that is none of the allowed ones"},
    [VT_RULE_OUT_OF_RANGE] = {"out-of-range", ERROR, "a number outside of its range"},
    [VT_RULE_INTRODUCED_LATER] = {"introduced-later", VT_WARNING,
                                  "not known yet to the version asked for"},
    [VT_RULE_DEPRECATED] = {"deprecated", VT_WARNING, "deprecated in the version asked for"},
    [VT_RULE_REMOVED] = {"removed", ERROR, "removed in the version asked for"},
    [VT_RULE_NOT_ON_MACOS] = {"not-on-macos", VT_WARNING, "not for macOS"},
    [VT_RULE_WRONG_CHANNEL] = {"wrong-channel", ERROR,
                               "not for the channel that PayloadScope names"},
    [VT_RULE_SINGLE_INSTANCE] = {"single-instance", ERROR,
                                 "several payloads of a type of which there may be one"},
    [VT_RULE_USER_APPROVED] = {"needs-user-approved-mdm", VT_NOTE,
                               "needs an MDM enrollment that the user approved"},
    [VT_RULE_SUPERVISED] = {"needs-supervision", VT_NOTE, "needs a supervised device"},
    [VT_RULE_NEEDS_MDM] = {"needs-mdm", VT_NOTE, "cannot be installed by hand"},
    [VT_RULE_NOT_IN_VM] = {"not-in-vm", VT_WARNING, "cannot take effect in a virtual machine"},
    [VT_RULE_BAD_SIGNATURE] = {"bad-signature", ERROR, "the signature is not over this content"},
    [VT_RULE_ENCRYPTED] = {"encrypted", VT_NOTE, "encrypted content, which is not looked at"},
    [VT_RULE_CONFLICT] = {"conflict", ERROR,
                          "one key set to several values: which one holds is undefined"},
    [VT_RULE_SAME_IDENTIFIER] = {"same-identifier", ERROR,
                                 "profiles of one PayloadIdentifier replace each other"},
    [VT_RULE_SAME_UUID] = {"same-uuid", VT_WARNING, "one PayloadUUID in several profiles"},
    [VT_RULE_SINGLE_INSTANCE_TWICE] = {"single-instance-twice", VT_WARNING,
                                       "a payload of which there may be one, in several profiles"},
    [VT_RULE_MOST_RESTRICTIVE] = {"most-restrictive", VT_WARNING,
                                  "several values, of which the most restrictive holds"},
    [VT_RULE_FORECAST_GONE] = {"forecast-gone", ERROR, "no longer in the schema"},
    [VT_RULE_FORECAST_REMOVED] = {"forecast-removed", ERROR, "removed"},
    [VT_RULE_FORECAST_DEPRECATED] = {"forecast-deprecated", VT_WARNING, "newly deprecated"},
    [VT_RULE_FORECAST_CHANGED] = {"forecast-changed", VT_WARNING, "the schema says otherwise now"},
    [VT_RULE_FORECAST_ADDED] = {"forecast-added", VT_NOTE, "newly possible"},
};

const struct vt_rule *vt_rule_at(size_t i)
{
    return i < VT_RULE_COUNT_ ? &rules[i] : NULL;
}
