-- The stand-in's handlers in a real guest: each effect is there after the installation, and is gone
-- after the removal. Profiles are installed by hand: the protocol is proven by nanomdm.py.
local lu = require "luaunit"
local vmtest = require "vmtest"

TestHandlers = vmtest.class { image = "device", reset = "file", timeout = "5m" }

local function profile(name, kind, keys)
  return ([[<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict>
<key>PayloadType</key><string>Configuration</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>%s</string><key>PayloadUUID</key><string>%s</string>
<key>PayloadContent</key><array><dict>
<key>PayloadType</key><string>%s</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>%s.1</string><key>PayloadUUID</key><string>%s.1</string>
%s</dict></array></dict></plist>]]):format(name, name, kind, name, name, keys)
end

local function install(vm, name, kind, keys)
  vm:write("/tmp/p.mobileconfig", profile(name, kind, keys))
  vm:sh("vmtest-device install /tmp/p.mobileconfig", { timeout = "90s" })
end

local function remove(vm, name) vm:sh("vmtest-device remove " .. name, { timeout = "90s" }) end

local function enforced(vm, kind)
  local told = vm:sh("vmtest-device effects").stdout
  for line in told:gmatch "[^\n]+" do
    if line:find(kind, 1, true) then return line:find("^enforced") ~= nil, line end
  end
  return false, "no effect of " .. kind
end

local function answers(vm, cmd) return vm:exec(cmd, { timeout = "60s" }).status == 0 end

-- A CA and a server's certificate, and a TLS server on a port, all in the guest; SPACE: the network
-- namespace it runs in.
local function serve(vm, port, space)
  vm:sh [[test -e /root/s.pem || { cd /root && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=lab-ca -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout s.key -out s.csr 2>/dev/null
echo subjectAltName=DNS:localhost >ext
openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out s.pem 2>/dev/null; }]]
  vm:sh(("systemd-run --quiet --collect --unit tls-%d %s openssl s_server -accept %d -cert /root/s.pem -key /root/s.key -www"):format(
    port, space and "ip netns exec " .. space or "", port))
end

function TestHandlers:testRootCertificate()
  local vm = self.vm
  serve(vm, 4433)
  vm:wait_until { cmd = "curl -sk https://localhost:4433/ >/dev/null" }
  local ask = "curl -sS https://localhost:4433/ >/dev/null"
  lu.assertFalse(answers(vm, ask))
  local pem = vm:sh("openssl x509 -in /root/ca.pem -outform DER | base64 -w0").stdout
  install(vm, "test.root", "com.apple.security.root", "<key>PayloadContent</key><data>" .. pem .. "</data>")
  lu.assertTrue(answers(vm, ask))
  remove(vm, "test.root")
  lu.assertFalse(answers(vm, ask))
end

function TestHandlers:testPasscode()
  local vm = self.vm
  local function set(word) return answers(vm, "printf 'alice:" .. word .. "\\n' | chpasswd") end
  vm:sh "id alice >/dev/null 2>&1 || useradd -m alice"
  lu.assertTrue(set "abcd")
  install(vm, "test.passcode", "com.apple.mobiledevice.passwordpolicy",
    "<key>minLength</key><integer>10</integer><key>requireAlphanumeric</key><true/><key>minComplexChars</key><integer>1</integer>")
  lu.assertFalse(set "kd8!hz") -- too short
  lu.assertFalse(set "kdzhqpwmxv!") -- no digit
  lu.assertFalse(set "kd8hz3qpwmxv") -- nothing but letters and digits
  lu.assertTrue(set "kd8!hz3qpwmx")
  remove(vm, "test.passcode")
  lu.assertTrue(set "abcd")
end

function TestHandlers:testFirewall()
  local vm = self.vm
  vm:sh [[ip netns add peer && ip link add v0 type veth peer name v1 netns peer
ip addr add 10.9.9.1/24 dev v0 && ip link set v0 up
ip -n peer addr add 10.9.9.2/24 dev v1 && ip -n peer link set v1 up]]
  serve(vm, 8443)
  local ping = "ip netns exec peer ping -c 1 -W 2 10.9.9.1"
  local tcp = "ip netns exec peer curl -sk --max-time 5 https://10.9.9.1:8443/ >/dev/null"
  vm:wait_until { cmd = tcp }
  lu.assertTrue(answers(vm, ping))
  install(vm, "test.firewall", "com.apple.security.firewall",
    "<key>EnableFirewall</key><true/><key>BlockAllIncoming</key><true/>")
  lu.assertFalse(answers(vm, ping))
  lu.assertFalse(answers(vm, tcp))
  lu.assertTrue(answers(vm, "ping -c 1 -W 2 10.9.9.2"), "what it asks for itself comes back")
  install(vm, "test.firewall", "com.apple.security.firewall",
    "<key>EnableFirewall</key><true/><key>EnableStealthMode</key><true/>")
  lu.assertFalse(answers(vm, ping))
  lu.assertTrue(answers(vm, tcp))
  remove(vm, "test.firewall")
  lu.assertTrue(answers(vm, ping))
  vm:sh "ip netns del peer"
end

function TestHandlers:testCustomSettings()
  local vm = self.vm
  local file = "/Library/Managed Preferences/com.example.app"
  local read = { "defaults", "read", file, "Level" }
  install(vm, "test.custom", "com.apple.ManagedClient.preferences", [[<key>PayloadContent</key><dict>
<key>com.example.app</key><dict><key>Forced</key><array><dict><key>mcx_preference_settings</key>
<dict><key>Level</key><integer>7</integer></dict></dict></array></dict></dict>]])
  lu.assertEquals(vm:exec(read).stdout, "7\n")
  lu.assertNotEquals(vm:exec({ "defaults", "read", "com.example.app", "Level" }).status, 0)
  lu.assertStrContains(vm:sh("profiles show -output stdout-xml").stdout, "test.custom")
  remove(vm, "test.custom")
  lu.assertNotEquals(vm:exec(read).status, 0)
  lu.assertNotEquals(vm:exec({ "test", "-e", file .. ".plist" }).status, 0)
end

-- Packages of two versions, made in the guest, and a repository with the newer one.
local packages = [[set -e
for v in 1 2; do
  mkdir -p /root/p/DEBIAN
  printf 'Package: vmtest-sample\nVersion: %s\nArchitecture: all\nMaintainer: none <none@localhost>\nDescription: a sample\n' $v >/root/p/DEBIAN/control
  dpkg-deb --build --root-owner-group /root/p /root/sample-$v.deb >/dev/null
done
mkdir -p /root/repo && cp /root/sample-2.deb /root/repo/
cd /root/repo && { dpkg-deb -f sample-2.deb; printf 'Filename: ./sample-2.deb\nSize: %s\nSHA256: %s\n' "$(stat -c %s sample-2.deb)" "$(sha256sum sample-2.deb | cut -d ' ' -f 1)"; } >Packages
chmod 755 /root /root/repo && echo 'deb [trusted=yes] file:/root/repo ./' >/etc/apt/sources.list && apt-get update -q 2>&1]]

function TestHandlers:testApplicationAndDeferral()
  local vm = self.vm
  vm:sh(packages, { timeout = "2m" })
  local action = "/usr/lib/vmtest-device/actions/"
  lu.assertEquals(vm:sh(action .. "install-package /root/sample-1.deb").stdout, "vmtest-sample\t1\n")
  lu.assertStrContains(vm:sh(action .. "list-packages").stdout, "vmtest-sample\t1\t")
  local function offered() return vm:sh("apt-get -s upgrade").stdout:find("Inst vmtest-sample", 1, true) ~= nil end
  lu.assertTrue(offered())
  install(vm, "test.defer", "com.apple.applicationaccess",
    "<key>forceDelayedSoftwareUpdates</key><true/><key>enforcedSoftwareUpdateDelay</key><integer>30</integer>")
  lu.assertFalse(offered())
  lu.assertTrue(enforced(vm, "com.apple.applicationaccess"))
  remove(vm, "test.defer")
  lu.assertTrue(offered())
  install(vm, "test.update", "com.apple.SoftwareUpdate", "<key>AutomaticCheckEnabled</key><false/>")
  lu.assertStrContains(vm:sh("apt-config dump APT::Periodic::Update-Package-Lists").stdout, '"0"')
  remove(vm, "test.update")
  lu.assertNotStrContains(vm:sh("apt-config dump").stdout, 'Update-Package-Lists "0"')
  lu.assertEquals(vm:sh(action .. "install-package /root/sample-2.deb").stdout, "vmtest-sample\t2\n")
end

function TestHandlers:testWifi()
  local vm = self.vm
  local ap = "/usr/lib/vmtest-device/fixtures/wifi-ap "
  local keys = "<key>SSID_STR</key><string>Lab %s</string><key>EncryptionType</key><string>WPA2</string><key>Password</key><string>%s</string>"
  vm:sh(ap .. "start 'Lab net' 'correct horse'")
  local link = "ip link show wlan0 >/dev/null && iw dev wlan0 link | grep -q 'SSID: Lab net'"
  install(vm, "test.wifi", "com.apple.wifi.managed", keys:format("net", "wrong password"))
  vmtest.sleep(15) -- the right one joins within 3
  lu.assertFalse(answers(vm, link .. " && wpa_cli -i wlan0 status | grep -q wpa_state=COMPLETED"))
  install(vm, "test.wifi", "com.apple.wifi.managed", keys:format("net", "correct horse"))
  vm:wait_until { cmd = link .. " && wpa_cli -i wlan0 status | grep -q wpa_state=COMPLETED", timeout = "60s" }
  vm:sh "ip addr add 192.168.77.2/24 dev wlan0"
  vm:wait_until { cmd = "ping -c 1 -W 2 -I wlan0 192.168.77.1" }
  remove(vm, "test.wifi")
  vm:wait_until { cmd = "! iw dev wlan0 link | grep -q SSID" }
  vm:sh(ap .. "stop")
end

function TestHandlers:testVpn()
  local vm = self.vm
  local gateway = "/usr/lib/vmtest-device/fixtures/vpn-gateway "
  vm:sh(gateway .. "start 'a \"quoted\" secret'", { timeout = "60s" })
  serve(vm, 9443, "vmtest-vpn")
  local ask = "curl -sk --max-time 5 https://10.99.0.1:9443/ >/dev/null"
  lu.assertFalse(answers(vm, ask))
  install(vm, "test.vpn", "com.apple.vpn.managed", [[<key>VPNType</key><string>IKEv2</string>
<key>IKEv2</key><dict><key>RemoteAddress</key><string>10.8.8.2</string><key>RemoteIdentifier</key><string>vpn.lab</string>
<key>LocalIdentifier</key><string>device</string><key>AuthenticationMethod</key><string>SharedSecret</string>
<key>SharedSecret</key><string>a "quoted" secret</string><key>OnDemandEnabled</key><integer>1</integer></dict>]])
  vm:wait_until { cmd = ask, timeout = "60s" }
  lu.assertStrContains(vm:sh("swanctl --list-sas 2>/dev/null").stdout, "ESTABLISHED")
  remove(vm, "test.vpn")
  lu.assertFalse(answers(vm, ask))
  vm:sh(gateway .. "stop")
end

function TestHandlers:testReboot()
  local vm = self.vm
  install(vm, "test.firewall", "com.apple.security.firewall",
    "<key>EnableFirewall</key><true/><key>EnableStealthMode</key><true/>")
  vm:reboot { timeout = "3m" }
  lu.assertStrContains(vm:sh("nft list ruleset").stdout, "echo-request")
  lu.assertTrue(enforced(vm, "com.apple.security.firewall"))
  lu.assertEquals(vm:sh("systemctl is-active vmtest-device").stdout, "active\n")
  remove(vm, "test.firewall")
  lu.assertNotStrContains(vm:sh("nft list ruleset").stdout, "echo-request")
end
