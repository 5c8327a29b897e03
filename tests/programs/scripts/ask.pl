# perl: sends a file, ends its writing, prints the answer.  ask.pl HOST PORT FILE
use strict;
use warnings;
use IO::Socket::INET;

my ($host, $port, $name) = @ARGV;
my $connection = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port) or die "connect: $!\n";
open my $file, '<:raw', $name or die "$name: $!";
local $/ = \65536;
print $connection $_ while <$file>;
$connection->flush;
$connection->shutdown(1);
print while <$connection>;
