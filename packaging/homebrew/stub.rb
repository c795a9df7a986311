# Homebrew's side of the formula, as little as needed to see that every word of it exists and its install block runs to the end.
require "pathname"
require "tmpdir"

PREFIX = Pathname(Dir.mktmpdir)

class Pathname
  def install(*files) = (mkpath; @installed = files.flatten)
end

module Utils
  def self.safe_popen_read(*words) = words.join(" ")
end

class Formula
  CALLS = []

  class << self
    attr_reader :said

    def method_missing(name, *arguments, **options, &block)
      @said = (@said || {}).merge(name => arguments.first || block || options)
    end

    # Ruby has a method of this name.
    def test(&block) = method_missing(:test, &block)

    def respond_to_missing?(*) = true
  end

  def bin = PREFIX/"bin"
  def opt_bin = PREFIX/"opt/bin"
  def var = PREFIX/"var"
  def man1 = (PREFIX/"share/man/man1").tap(&:mkpath)
  def buildpath = PREFIX/"build"
  def version = "0"
  def std_cargo_args = ["--locked", "--root=#{PREFIX}", "--path=."]
  def system(*words) = CALLS << words.map(&:to_s)
  def generate_completions_from_executable(*words) = CALLS << words.map(&:to_s)
  def chmod(mode, path) = File.chmod(mode, path)
end

load ARGV.fetch(0)
needed = [:desc, :homepage, :url, :sha256, :license, :depends_on, :service, :test]
missing = needed - Cordon.said.keys
abort "the formula does not say: #{missing.join(", ")}" unless missing.empty?
abort "the checksum is not one" unless Cordon.said[:sha256].match?(/\A\h{64}\z/)
formula = Cordon.new
formula.install
formula.post_install
abort "the folder is not private" unless (PREFIX/"var/lib/cordon").stat.mode & 0o777 == 0o700
abort "it builds nothing" unless Formula::CALLS.first.first(2) == ["cargo", "install"]
abort "no words on what comes next" unless formula.caveats.include?("cordon setup")
