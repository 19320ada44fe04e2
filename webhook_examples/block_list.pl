# Refuse senders and clients on a list. The list is a text file; edit it at any time, with any editor.
#
#     perl webhook_examples/block_list.pl [PORT [FILE]]

use strict;
use warnings;
use HTTP::Daemon;    # Debian: libhttp-daemon-perl
use JSON::PP;
use Socket qw(IPPROTO_TCP TCP_NODELAY);

my $port = shift // 8000;
my $file = shift // 'webhook_examples/block_list.txt';

sub rcpt {
    my ($call) = @_;
    return {} if $call->{auth} || !$call->{client}{port};    # our own users; programs on this machine
    return {} if $call->{data}{address} =~ /^(postmaster|abuse)(@|$)/i;    # where one can complain
    my $listed = list();
    my ($found) = grep { $listed->{$_} } keys_of( $call->{envelope}{from}{address}, $call->{client}{address} );
    return {} if !defined $found;
    return {
        action => 'reject',
        reply  => { code => 554, enhanced => '5.7.1', text => 'You are on our block list: write to postmaster' },
        annotations => { listed => $found },    # the log says which line it was
    };
}

# What may stand in the list: the address, its domain and those above, the client's address and its beginnings.
sub keys_of {
    my ( $sender, $client ) = map { lc( $_ // '' ) } @_;
    my @keys = ( $sender, $client );    # a bounce has no sender: the empty word is on no list
    for ( my $domain = $sender =~ s/.*@//sr ; length $domain ; $domain =~ s/^[^.]*\.?// ) { push @keys, $domain }
    while ( $client =~ s/[.:]+[^.:]*$// ) { push @keys, $client }
    return @keys;
}

sub list {    # the first word of each line
    open my $lines, '<:encoding(UTF-8)', $file or die "$file: $!\n";
    return { map { /^\s*([^#\s]\S*)/ ? ( lc $1 => 1 ) : () } <$lines> };
}

list();    # without one, rather do not start
$SIG{CHLD} = 'IGNORE';
my $server = HTTP::Daemon->new( LocalAddr => "127.0.0.1:$port", ReuseAddr => 1, Listen => 128 ) or die "$port: $@\n";
$| = 1;
printf "listening on http://127.0.0.1:%d/milter\n", $server->sockport;
while (1) {
    my $connection = $server->accept or next;
    next if fork // 1;    # the child answers
    $server->close;
    setsockopt $connection, IPPROTO_TCP, TCP_NODELAY, 1;    # or each answer waits 40 ms
    while ( my $request = $connection->get_request ) {
        my $answer = eval { encode_json( rcpt( decode_json( $request->content ) ) ) };
        warn $@ if !$answer;    # the gateway takes a 500 for a failure, and puts the mail off
        my @head = ( $answer ? 200 : 500, undef, [ 'Content-Type' => 'application/json' ] );
        $connection->send_response( HTTP::Response->new( @head, $answer // '' ) );
    }
    exit;
}
