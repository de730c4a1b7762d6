# The packages are those of scripts/lib.sh (brew:build, brew:guest); a test compares them.
class Vmtest < Formula
  desc "Test suites for fleets of computers, run on real virtual machines"
  # The clone that this file lies in, also where a tap has a link to it.
  head "file://#{File.expand_path("../..", File.dirname(File.realpath(__FILE__)))}", using: :git, branch: "main"
  license "MIT"

  depends_on "cmake" => :build
  depends_on "ninja" => :build
  depends_on "pkgconf" => :build
  depends_on "curl"
  depends_on "expat"
  depends_on "jansson"
  depends_on "libplist"
  depends_on "libssh2"
  depends_on "libuv"
  depends_on "libwebsockets"
  depends_on "libyaml"
  depends_on "lua@5.4"
  depends_on "luarocks"
  depends_on macos: :ventura
  depends_on "openssl@3"
  depends_on "qemu"
  depends_on "sqlite"
  depends_on "zstd"

  def install
    system "cmake", "-S", ".", "-B", "build", "-G", "Ninja", *std_cmake_args
    system "cmake", "--build", "build"
    system "cmake", "--install", "build"
    helper = libexec/"vmtest/vmtest-vz"
    return unless helper.exist?

    system "codesign", "--force", "--sign", "-", "--entitlements", "shim/vz/vmtest-vz.entitlements", helper
  end

  def caveats
    <<~TEXT
      Suites need LuaUnit:
        luarocks --lua-version=5.4 --lua-dir=#{Formula["lua@5.4"].opt_prefix} install luaunit
      What this Mac can do, and what is missing:
        vmtest doctor
    TEXT
  end

  test do
    assert_match "vmtest ", shell_output("#{bin}/vmtest --version")
    assert_match "save_restore", shell_output("#{bin}/vmtest features --markdown")
  end
end
