# perl: answers each connection, in a process of its own, with the SHA-256 of what it sends.  sums.pl PORT
use strict;
use warnings;
use Digest::SHA;
use IO::Socket::INET;

my $listener = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 20, ReuseAddr => 1) or die "listen: $!";
$SIG{CHLD} = 'IGNORE';
$| = 1;
print "serving\n";
while (my $connection = $listener->accept) {
    next if fork;
    my $sum = Digest::SHA->new(256);
    $sum->addfile($connection);
    print $connection $sum->hexdigest, "\n";
    exit 0;
}
