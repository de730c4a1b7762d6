---@meta
-- Annotations of what docs/lua-mdm.md describes; they go with those in vmtest.lua.

---@alias vmtest.MdmCapability "pkcs12"|"scep"|"both"|"commands"|"withdraw"|"push"|"declarations"|"packages"|"ade"|"app_store"|"filevault_escrow"|"activation_lock"|"recovery_lock"|"lost_mode"|"unattended"|"attestation"|"os_update"

---@class vmtest.MdmOptions
---@field kind? "lab"|"nanomdm"|"micromdm"|"fleet"|"jamf" default "lab"
---@field url? string of a foreign server; "running" for a lab that runs
---@field credentials? string file of mode 0600; default: the environment
---@field ca_file? string PEM
---@field listen? string "ADDRESS:PORT" of a lab
---@field control? boolean of a lab: `vmtest mdm` may reach it
---@field state_dir? string folder of a lab's database
---@field names? string|string[] host names and addresses that devices reach a lab by
---@field webhook_listen? string
---@field webhook_url? string
---@field extra? table
---@field timeout? vmtest.Duration

---@class vmtest.EnrollmentOptions
---@field method? "pkcs12"|"scep"|"both" default "pkcs12"
---@field address? string host name or address that the guest reaches the server by
---@field topic? string
---@field access_rights? integer default 8191
---@field rsa? boolean
---@field valid? vmtest.Duration of the identity
---@field keep_on_remove? boolean
---@field display_name? string
---@field timeout? vmtest.Duration

---@class vmtest.EnrollOptions: vmtest.EnrollmentOptions
---@field server? vmtest.MdmServer default: the run's
---@field approved? boolean of the stand-in: false: as if no person had approved it
---@field again? boolean an enrollment that is there is removed first

---@class vmtest.AskOptions
---@field timeout? vmtest.Duration default 60 s, scaled
---@field check? boolean false: an answer of Error is a result
---@field force? boolean also what no VM can do

---@class vmtest.InstallOptions: vmtest.AskOptions
---@field sign? string PEM file with a key and its certificate

---@class vmtest.UserOptions
---@field user? string whose managed layer

---@class vmtest.PreferencesOptions
---@field paths? string|string[] property lists, or folders of them, besides

---@class vmtest.PermutationOptions
---@field limit? integer

---@class vmtest.UpgradeOptions
---@field from string|vmtest.VmOptions
---@field to? string|vmtest.VmOptions
---@field upgrade? fun(vm: vmtest.VM, device: vmtest.Device?)
---@field install fun(vm: vmtest.VM, device: vmtest.Device?)
---@field check fun(vm: vmtest.VM, device: vmtest.Device?, phase: "before"|"after"|"reinstalled")
---@field enroll? vmtest.EnrollOptions|false

---Data of a property list.
---@class vmtest.Data
---@field bytes string

---A date of a property list.
---@class vmtest.Date
---@field text string

---What is different in a later snapshot: {file, key, before, after} each.
---@class vmtest.PreferencesDiff
---@field [integer] table

---@class vmtest.Preferences
---@field files table<string, table>
---@field diff fun(self: vmtest.Preferences, later: vmtest.Preferences): vmtest.PreferencesDiff

---@class vmtest
local vmtest = {}

---@class vmtest.VM
local VM = {}

---An MDM server. It ends with the test, class or suite that made it.
---@param options vmtest.MdmOptions
---@return vmtest.MdmServer
function vmtest.mdm(options) end

---Data of a property list.
---@param bytes string
---@return vmtest.Data
function vmtest.data(bytes) end

---A date of a property list: "2026-01-31T12:00:00Z".
---@param text string
---@return vmtest.Date
function vmtest.date(text) end

---An array of a property list, also where it is empty.
---@param list any[]
---@return any[]
function vmtest.array(list) end

---All orders of a list.
---@param list any[]
---@param options? vmtest.PermutationOptions
---@return any[][]
function vmtest.permutations(list, options) end

---Installs, checks, upgrades, checks, installs again, checks again.
---@param options vmtest.UpgradeOptions
---@return {vm: vmtest.VM, device: vmtest.Device?, phases: table[]}
function vmtest.upgrade_scenario(options) end

---Enrolls the guest, or gives the device it is enrolled as.
---@param options? vmtest.EnrollOptions
---@return vmtest.Device
function VM:enroll(options) end

---@return vmtest.Device?
function VM:device() end

---@param domain string
---@param key? string
---@param value? any
---@param options? vmtest.UserOptions
---@return any value that is there
function VM:assert_managed(domain, key, value, options) end

---@param domain string
---@param key? string
---@param options? vmtest.UserOptions
---@return vmtest.VM
function VM:assert_not_managed(domain, key, options) end

---@param identifier string
---@return table profile {identifier, uuid, name, verified, user, payloads}
function VM:assert_profile_installed(identifier) end

---@param identifier string
---@return vmtest.VM
function VM:assert_profile_not_installed(identifier) end

---@param what string a payload's type or identifier, or its profile's
---@return table effect
function VM:assert_effective(what) end

---@param options? vmtest.PreferencesOptions
---@return vmtest.Preferences
function VM:preferences_snapshot(options) end

---@param before vmtest.Preferences
---@return vmtest.VM
function VM:assert_preferences_as(before) end

---@class vmtest.MdmServer
local Server = {}

---@return string
function Server:url() end

---@return string
function Server:kind() end

---@return string? PEM
function Server:ca() end

---@return boolean
function Server:is_open() end

function Server:close() end

---@param what vmtest.MdmCapability
---@return boolean can
---@return string? reason
---@return string? instead
function Server:supports(what) end

---@param options? vmtest.EnrollmentOptions
---@return {profile: string, ca: string?, id: string?}
function Server:enrollment_profile(options) end

---@param options? {timeout: vmtest.Duration?}
---@return table[]
function Server:devices(options) end

---A VM's guest as its MDM server sees it.
---@class vmtest.Device
---@field vm vmtest.VM
---@field server vmtest.MdmServer
---@field udid string
local Device = {}

---@return "not_enrolled"|"enrolled"|"user_approved"|"reachable" state
---@return string reason
---@return {enrolled: boolean, user_approved: boolean, reachable: boolean}
function Device:state() end

---@param profile string file, or contents
---@param options? vmtest.InstallOptions
---@return string identifier
function Device:install_profile(profile, options) end

---@param identifier string
---@param options? vmtest.AskOptions
---@return vmtest.Device
function Device:remove_profile(identifier, options) end

---@param options? {timeout: vmtest.Duration?, managed_only: boolean?}
---@return table[]
function Device:profiles(options) end

---@param queries? string|string[]
---@param options? vmtest.AskOptions
---@return table<string, any>
function Device:info(queries, options) end

---@param options? vmtest.AskOptions
---@return table
function Device:security_info(options) end

---@param options? vmtest.AskOptions
---@return table[]
function Device:certificates(options) end

---@param options? vmtest.AskOptions
---@return table[]
function Device:applications(options) end

---@param options {path: string, bundle_id: string, version: string, title: string?, timeout: vmtest.Duration?}
---@return table application
function Device:install_application(options) end

---@param request string RequestType
---@param fields? table
---@param options? vmtest.AskOptions
---@return table report
---@return {status: string, error_chain: table[]?, errors: string, not_now: integer, raw: string}
function Device:command(request, fields, options) end

---@param declaration {Type: string, Identifier: string, Payload: table}
---@param options? {timeout: vmtest.Duration?, check: boolean?}
---@return {active: boolean, valid: string, status: table?}
function Device:declare(declaration, options) end

---@param identifier string
---@param options? {timeout: vmtest.Duration?}
---@return vmtest.Device
function Device:undeclare(identifier, options) end

---@param options? {timeout: vmtest.Duration?}
---@return vmtest.Device
function Device:restart(options) end

---@param how "not-now"|"error"|"normal"
---@param request? string RequestType
---@return vmtest.Device
function Device:answer(how, request) end

---@param options? {timeout: vmtest.Duration?}
function Device:unenroll(options) end
