# Files of $SHARED, and at /sum the SHA-256 of what is posted.
require "digest"

run(lambda do |env|
  out = if env["PATH_INFO"] == "/sum" then Digest::SHA256.hexdigest(env["rack.input"].read)
        else File.binread(ENV["SHARED"] + env["PATH_INFO"])
        end
  [200, { "content-length" => out.bytesize.to_s }, [out]]
end)
