---@meta vmtest
-- Annotations for the Lua language server (workspace.library). Reference: docs/lua-api.md.

---Seconds, or text such as "90s", "5m", "1h30m", "250ms".
---@alias vmtest.Duration number|string

---Bytes, or text such as "512M", "4G".
---@alias vmtest.Size integer|string

---A shell line, or a list of words of which none is interpreted.
---@alias vmtest.Command string|(string|number)[]

---What functions of vmtest raise.
---@class vmtest.Error
---@field code "invalid"|"not_found"|"timeout"|"canceled"|"unsupported"|"state"|"io"|"no_space"|"guest"|"auth"|"host_key"|"hypervisor"|"image"|"busy"|"limit"|"protocol"|"internal"|"failed"|"mdm"
---@field op string the operation: "vm.exec"
---@field message string what went wrong and why
---@field vm? string the VM's name
---@field hint? string what to do about it
---@field where string "suite.lua:12", or ""
---@field stdout? string what a command had written by then
---@field stderr? string
---@field status? integer exit status, of `vm:sh`
---@field signal? string signal, of `vm:sh`
---@field console? string what the console had said, of `console:expect`
---@field error_chain? table[] of a device: {ErrorCode, ErrorDomain, LocalizedDescription, USEnglishDescription}
---@field request_type? string the command that a device refused or did not answer
---@field not_now? integer how often it said NotNow

---@class vmtest.Xfail
---@field reason string
---@field strict? boolean passing is a failure then (default true)
---@field when? boolean|fun(): boolean whether the mark holds now (default true)

---@class vmtest.Forward
---@field guest integer port in the guest
---@field host? integer port on 127.0.0.1; default: a free one

---@class vmtest.Disk
---@field name string
---@field bus? "virtio"|"nvme"|"usb" default "virtio"
---@field size? vmtest.Size a new, empty disk
---@field path? string an existing file
---@field url? string "nbd://host/export"
---@field format? "raw"|"qcow2" of `path`, default "raw"
---@field read_only? boolean
---@field direct? boolean it is written to itself

---@class vmtest.AttachedDisk
---@field name string
---@field size? vmtest.Size a new, empty disk
---@field path? string an existing file
---@field format? "raw"|"qcow2" of `path`, default "raw"
---@field read_only? boolean
---@field direct? boolean `path` is written to itself

---@class vmtest.Nic
---@field kind? "nat"|"isolated"|"bridged" default "nat"
---@field network? string name of the isolated network, or the host's bridge
---@field mac? string "52:54:00:12:34:56"

---@class vmtest.Share
---@field name string
---@field path string folder of the host, relative to the suite's
---@field read_only? boolean

---@class vmtest.Ssh
---@field host string
---@field port? integer
---@field user string
---@field key? string file
---@field password_file? string
---@field agent? boolean keys of the ssh agent
---@field host_key? string "ssh-ed25519 AAAA…"
---@field known_hosts? string file
---@field reboot? string command that restarts it
---@field accept_new? boolean without `host_key`: take the one it shows at first

---@class vmtest.Tart
---@field vm? string what to clone, as `tart list` names it; else `image`
---@field user? string for ssh; without, commands go by `tart exec`
---@field key? string file
---@field password_file? string
---@field host_key? string "ssh-ed25519 AAAA…"
---@field resolver? "dhcp"|"arp"|"agent" of `tart ip`; default: each in turn
---@field suspendable? boolean can be saved: snapshots
---@field same_serial? boolean clones keep the serial number

---@class vmtest.VzScreen
---@field width integer pixels
---@field height integer
---@field ppi? integer pixels per inch

---@class vmtest.VzNetwork
---@field mode? "shared"|"host" default "shared"
---@field subnet? string "192.168.77.0/24"

---@class vmtest.Vz
---@field rosetta? boolean|string true, or the tag: x86-64 programs in Linux guests
---@field nested? boolean virtual machines inside the guest
---@field clipboard? boolean a port for a Spice agent in the guest
---@field screen? vmtest.VzScreen|string or "1920x1200"
---@field vmnet? vmtest.VzNetwork|"shared"|"host" the network of interfaces with NAT
---@field automount? boolean a macOS guest mounts its shares by itself
---@field recovery? boolean each start is into recovery
---@field disk_caching? "automatic"|"cached"|"uncached"
---@field disk_sync? "full"|"fsync"|"none"

---@class vmtest.VmOptions
---@field image? string name in the image store, or a folder
---@field name? string
---@field memory? vmtest.Size
---@field cpus? integer
---@field driver? "qemu"|"vz"|"tart"|"ssh"|"sim"
---@field accel? "auto"|"kvm"|"hvf"|"tcg"
---@field channel? "agent"|"ssh"|"qga" the way in
---@field forwards? (vmtest.Forward|integer)[]
---@field disks? vmtest.Disk[]
---@field nics? ("nat"|vmtest.Nic)[]|false
---@field shares? vmtest.Share[]
---@field screen? boolean a graphics card and a keyboard
---@field vnc? boolean
---@field ssh? vmtest.Ssh for driver = "ssh"
---@field tart? vmtest.Tart for driver = "tart"
---@field vz? vmtest.Vz for driver = "vz"
---@field sim? table script of the simulated driver (docs/sim.md)
---@field snapshot? string name of one that was kept, or a folder
---@field start? boolean default true
---@field boot_timeout? vmtest.Duration

---@class vmtest.ClassOptions
---@field image? string
---@field vm? vmtest.VmOptions
---@field vms? table<string, vmtest.VmOptions>
---@field fixture? string|vmtest.Fixture
---@field reset? "test"|"class"|"file"|"never" default "test"
---@field timeout? vmtest.Duration
---@field tags? string|string[]
---@field skip? string reason
---@field xfail? string|vmtest.Xfail
---@field needs? string|string[] "mdm", or "mdm.push" and the like

---VMs that a function has prepared.
---@class vmtest.Fixture
---@field name string

---Besides these, with one VM, its options.
---@class vmtest.FixtureOptions: vmtest.VmOptions
---@field from? string|vmtest.Fixture an image, or another fixture
---@field vms? table<string, vmtest.VmOptions>
---@field snapshot? boolean default true
---@field timeout? vmtest.Duration

---@class vmtest.TestOptions
---@field timeout? vmtest.Duration
---@field tags? string|string[]
---@field skip? string reason
---@field xfail? string|vmtest.Xfail

---A LuaUnit class whose VMs the host makes and ends.
---@class vmtest.Class
---@field vm vmtest.VM
---@field vms table<string, vmtest.VM>
---@field [string] any

---@class vmtest
local vmtest = {}

---A LuaUnit test class with needs and marks.
---@param options vmtest.ClassOptions
---@return vmtest.Class
function vmtest.class(options) end

---A test with marks of its own.
---@generic F: function
---@param options vmtest.TestOptions
---@param fn F
---@return F
function vmtest.test(options, fn) end

---VMs that a function prepares once, for all classes that name the fixture.
---@param name string
---@param options vmtest.FixtureOptions
---@param fn fun(vm: vmtest.VM|table<string, vmtest.VM>)
---@return vmtest.Fixture
function vmtest.fixture(name, options, fn) end

---Makes a VM and starts it. It ends with the test, class or suite that made it.
---@param options vmtest.VmOptions
---@return vmtest.VM
function vmtest.vm(options) end

---Ends the running test as skipped.
---@param reason? string
function vmtest.skip(reason) end

---Ends the running test as one that is expected to fail here.
---@param reason? string
function vmtest.xfail(reason) end

---Waits; other functions of vmtest.parallel go on meanwhile.
---@param duration vmtest.Duration
function vmtest.sleep(duration) end

---Seconds on the clock that deadlines and waits go by; only differences mean something.
---@return number
function vmtest.time() end

---Runs functions side by side; gives the first result of each.
---@param ... fun(): any
---@return any ...
function vmtest.parallel(...) end

---@class vmtest.WaitOptions
---@field check? fun(): any
---@field timeout? vmtest.Duration default 30 s
---@field every? vmtest.Duration default 1 s
---@field message? string what did not happen, for the error

---Calls a function until it gives something true, which is returned.
---@param check (fun(): any)|vmtest.WaitOptions
---@param options? vmtest.WaitOptions
---@return any
function vmtest.wait_until(check, options) end

---A duration in seconds, longer where the VM runs without hardware virtualization.
---@param duration vmtest.Duration
---@param vm? vmtest.VM
---@return number seconds
function vmtest.scale(duration, vm) end

---Writes a line into the run's log.
---@param text string
function vmtest.log(text) end

---Whether a value is an error object of vmtest.
---@param value any
---@return boolean
function vmtest.is_error(value) end

---@class vmtest.Profile
---@field file string
---@field format "xml"|"binary"
---@field display_name? string
---@field identifier? string
---@field uuid? string
---@field organization? string
---@field scope? "System"|"User"
---@field removal_disallowed boolean
---@field signed boolean
---@field signature_good? boolean
---@field signers? table[] subject, issuer, serial, sha256, not_before, not_after
---@field payloads table[] type, identifier, uuid, display_name, settings (secrets are not shown)
---@field content table all of it; data is base64

---@class vmtest.Finding
---@field rule string its stable name: "wrong-type"
---@field severity "error"|"warning"|"note"
---@field file string
---@field path string "PayloadContent[0].SSID_STR"
---@field message string
---@field hint? string
---@field os? string the version it holds for
---@field line? integer
---@field column? integer

---@class vmtest.LintOptions
---@field os? string|string[] versions of macOS: "15.1"
---@field schema? string a checkout of apple/device-management, or a table made of one

---@class vmtest.ConflictOptions
---@field schema? string

---@class vmtest.ProfileChange
---@field path string
---@field change "added"|"removed"|"changed"
---@field old? any
---@field new? any

vmtest.profile = {}

---Reads a configuration profile: XML, binary or signed.
---@param path string
---@return vmtest.Profile
function vmtest.profile.read(path) end

---What is wrong with a configuration profile; empty where nothing is.
---@param path string
---@param options? vmtest.LintOptions
---@return vmtest.Finding[]
function vmtest.profile.lint(path, options) end

---What differs in meaning between two configuration profiles; empty where nothing does.
---@param a string
---@param b string
---@return vmtest.ProfileChange[]
function vmtest.profile.diff(a, b) end

---What configuration profiles, installed together, contradict each other in.
---@param paths string[]
---@param options? vmtest.ConflictOptions
---@return vmtest.Finding[]
function vmtest.profile.conflicts(paths, options) end

---@class vmtest.ExecOptions
---@field timeout? vmtest.Duration default 60 s, scaled
---@field stdin? string
---@field env? table<string, string|number>
---@field cwd? string
---@field pty? boolean
---@field limit? vmtest.Size bytes kept of each stream, default 1 MiB
---@field on_output? fun(stream: "stdout"|"stderr", text: string)

---@class vmtest.ExecResult
---@field status? integer nil where a signal ended it
---@field signal? string "KILL", "TERM", …
---@field stdout string
---@field stderr string
---@field duration number seconds
---@field truncated boolean

---@class vmtest.VmWaitOptions
---@field cmd vmtest.Command
---@field check? fun(result: vmtest.ExecResult): any default: status 0
---@field timeout? vmtest.Duration default 30 s, scaled
---@field every? vmtest.Duration default 1 s
---@field stdin? string
---@field env? table<string, string|number>
---@field cwd? string

---@class vmtest.PutOptions
---@field timeout? vmtest.Duration default 5 min, scaled
---@field mode? string|integer "755"
---@field verify? boolean

---@class vmtest.GetOptions
---@field timeout? vmtest.Duration
---@field verify? boolean

---@class vmtest.ReadOptions
---@field timeout? vmtest.Duration
---@field limit? vmtest.Size default 1 MiB

---@class vmtest.TransferResult
---@field bytes integer
---@field files integer
---@field skipped integer
---@field sha256? string of one file
---@field duration number seconds

---@class vmtest.TimeoutOptions
---@field timeout? vmtest.Duration

---@class vmtest.RebootOptions
---@field timeout? vmtest.Duration
---@field hard? boolean by a reset instead of the guest's own command

---@class vmtest.SnapshotOptions
---@field keep? boolean for later runs
---@field timeout? vmtest.Duration default 60 s, scaled

---@class vmtest.SnapshotsOptions
---@field kept? boolean those that were kept, instead of the VM's own

---@class vmtest.Snapshot
---@field name string
---@field dir string
---@field parent? string the one that the VM came from last
---@field created string
---@field vm string
---@field memory boolean of a VM that ran
---@field bytes integer on disk

---@class vmtest.CloneOptions
---@field name? string
---@field timeout? vmtest.Duration

---@class vmtest.ExpectOptions
---@field plain? boolean no pattern

---The serial console of a VM.
---@class vmtest.Console
---@field expect fun(self: vmtest.Console, pattern: string, timeout?: vmtest.Duration, options?: vmtest.ExpectOptions): string, ...
---@field write fun(self: vmtest.Console, text: string): vmtest.Console
---@field text fun(self: vmtest.Console): string

---@class vmtest.VM
---@field name string
local VM = {}

---Runs a command in the guest. A status other than 0 is a result.
---@param cmd vmtest.Command
---@param options? vmtest.ExecOptions
---@return vmtest.ExecResult
function VM:exec(cmd, options) end

---As exec; raises where the status is not 0.
---@param cmd vmtest.Command
---@param options? vmtest.ExecOptions
---@return vmtest.ExecResult
function VM:sh(cmd, options) end

---Repeats a command until it succeeds.
---@param options vmtest.VmWaitOptions
---@return vmtest.ExecResult
function VM:wait_until(options) end

---Copies a file or a folder of the host into the guest.
---@param from string
---@param to string
---@param options? vmtest.PutOptions
---@return vmtest.TransferResult
function VM:put(from, to, options) end

---Copies a file or a folder of the guest to the host.
---@param from string
---@param to string
---@param options? vmtest.GetOptions
---@return vmtest.TransferResult
function VM:get(from, to, options) end

---The contents of a file in the guest.
---@param from string
---@param options? vmtest.ReadOptions
---@return string
function VM:read(from, options) end

---Writes a file in the guest.
---@param to string
---@param text string
---@param options? vmtest.PutOptions
---@return vmtest.TransferResult
function VM:write(to, text, options) end

---Starts it and waits until the guest answers.
---@param options? vmtest.TimeoutOptions
---@return vmtest.VM
function VM:start(options) end

---Asks the guest to power off and waits until it has.
---@param options? vmtest.TimeoutOptions
---@return vmtest.VM
function VM:stop(options) end

---Ends it hard.
---@return vmtest.VM
function VM:kill() end

---Stops the guest's processors.
---@return vmtest.VM
function VM:pause() end

---Lets them run again.
---@return vmtest.VM
function VM:resume() end

---Restarts the guest and waits until it answers again.
---@param options? vmtest.RebootOptions
---@return vmtest.VM
function VM:reboot(options) end

---Waits until the guest has powered itself off.
---@param options? vmtest.TimeoutOptions
---@return vmtest.VM
function VM:wait_stopped(options) end

---@return "defined"|"starting"|"running"|"paused"|"stopping"|"stopped"|"crashed" state
---@return string? reason
function VM:state() end

---Facts: driver, acceleration, addresses.
---@return table
function VM:info() end

---How much longer things take here than with hardware virtualization.
---@return number
function VM:scale() end

---The end of the serial console.
---@param bytes? integer default 4096
---@return string
function VM:console_tail(bytes) end

---Saves memory, disks and configuration; the VM goes on.
---@param name string
---@param options? vmtest.SnapshotOptions
---@return string folder
function VM:snapshot(name, options) end

---Puts the VM where a snapshot was taken.
---@param snapshot string name or folder
---@param options? vmtest.TimeoutOptions
---@return vmtest.VM
function VM:restore(snapshot, options) end

---@param options? vmtest.SnapshotsOptions
---@return vmtest.Snapshot[]
function VM:snapshots(options) end

---@param snapshot string name or folder
---@return vmtest.VM
function VM:remove_snapshot(snapshot) end

---A new VM that is where this one is, its memory included.
---@param options? vmtest.CloneOptions
---@return vmtest.VM
function VM:clone(options) end

---What the screen shows, as a PNG file.
---@param path? string default: in the VM's folder of results
---@return string path
function VM:screenshot(path) end

---Presses keys, one after the other: "ret", "ctrl-alt-f1".
---@param ... string
---@return vmtest.VM
function VM:send_keys(...) end

---Types text as on a US keyboard.
---@param text string
---@return vmtest.VM
function VM:type(text) end

---The serial console, to read and write.
---@return vmtest.Console
function VM:console() end

---Gives the running guest a folder of the host.
---@param options vmtest.Share
---@return vmtest.VM
function VM:share(options) end

---Takes one away.
---@param name string
---@return vmtest.VM
function VM:unshare(name) end

---Mounts a share in the guest.
---@param name string
---@param path string where, in the guest
---@return vmtest.VM
function VM:mount_share(name, path) end

---Makes a disk larger: one of `disks`, or "disk0", the image's own.
---@param name string
---@param size vmtest.Size
---@return vmtest.VM
function VM:resize_disk(name, size) end

---Plugs a disk into the running guest.
---@param options vmtest.AttachedDisk
---@return vmtest.VM
function VM:attach_disk(options) end

---Takes one out.
---@param name string
---@return vmtest.VM
function VM:detach_disk(name) end

---@param what "start"|"stop"|"kill"|"pause"|"reset"|"console"|"console_write"|"exec"|"files"|"snapshot"|"copy"|"screenshot"|"keys"|"vnc"|"disks"|"nbd"|"resize_disk"|"hot_disk"|"shares"|"hot_share"|"nat"|"forward"|"isolated"|"bridged"|"no_network"
---@return boolean
---@return string? why_not
function VM:supports(what) end

---Ends the VM for good.
function VM:destroy() end

---@return boolean
function VM:is_alive() end

return vmtest
