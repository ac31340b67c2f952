# DBD::Pg: server-side prepared statements, COPY, notifications, asynchronous queries and their cancel.
use strict;
use warnings;
use utf8;
use DBI;
use DBD::Pg qw(:async :pg_types);
binmode STDOUT, ':utf8';
$| = 1;

sub opened { DBI->connect('dbi:Pg:', '', '', { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_enable_utf8 => 1, @_ }) }
sub show { my $v = shift; !defined $v ? 'undef' : ref $v ? '[' . join(',', map { show($_) } @$v) . ']' : $v }
sub rows { my ($title, $found) = @_; print "-- $title\n"; print join(' | ', map { show($_) } @$_), "\n" for @$found }
sub failing { my ($db, $work) = @_; eval { $work->(); print "no error\n"; 1 } or print $db->state, "\n" }

sub common {
    my $db = opened();
    $db->do('CREATE TABLE perl_common (id bigint PRIMARY KEY, name text, amount double precision)');
    my $insert = $db->prepare('INSERT INTO perl_common VALUES (?, ?, ?)');
    print $insert->execute(@$_), "\n" for [1, 'one', 1.5], [2, 'héllo 日本語 ✈', undef], [3, undef, -2.25];
    my $one = $db->prepare('SELECT name, amount FROM perl_common WHERE id = ?');
    for (1 .. 4) {
        rows('all', $db->selectall_arrayref('SELECT id, name, amount FROM perl_common ORDER BY id'));
        $one->execute(2);
        rows('prepared', $one->fetchall_arrayref);
        rows('named', $db->selectall_arrayref('SELECT name FROM perl_common WHERE id = $1', undef, 1));
    }
    $db->begin_work;
    $db->do(q{UPDATE perl_common SET name = 'changed' WHERE id = 1});
    $db->pg_savepoint('s');
    $db->do('DELETE FROM perl_common');
    rows('none left', $db->selectall_arrayref('SELECT count(*) FROM perl_common'));
    $db->pg_rollback_to('s');
    rows('changed', $db->selectall_arrayref('SELECT name FROM perl_common ORDER BY id'));
    $db->rollback;
    rows('as before', $db->selectall_arrayref('SELECT name FROM perl_common ORDER BY id'));
    failing($db, sub { $db->do('SELECT * FROM no_such_table') });
    failing($db, sub { $db->do(q{INSERT INTO perl_common VALUES (1, 'again', 0)}) });
    $db->begin_work;
    failing($db, sub { $db->do('SELECT * FROM no_such_table') });
    failing($db, sub { $db->do('SELECT count(*) FROM perl_common') });
    $db->rollback;
    $db->do('DROP TABLE perl_common');
    $db->disconnect;
}

sub full {
    my ($db, $other) = (opened(), opened());
    my $columns = 'id, small, big, exact, single, double, flag, fixed, varying, words, bytes, day, moment, stamp, stamp_zone, span, key, doc, docb, address, bits, numbers, names, feeling, money, place, range, spot, xml';
    for (1 .. 2) {
        my $types = $db->prepare("SELECT $columns FROM every_type ORDER BY id");
        $types->execute;
        print join(' ', @{ $types->{NAME} }), "\n", join(' ', @{ $types->{pg_type} }), "\n";
        rows('types', $types->fetchall_arrayref);
    }
    for my $prepare (0, 1) {
        my $read = $db->prepare('SELECT id, name FROM parent WHERE id < ? ORDER BY id', { pg_server_prepare => $prepare });
        for (1 .. 3) { $read->execute(4); rows("server prepare $prepare", $read->fetchall_arrayref) }
    }
    $db->do('CREATE TABLE perl_copied (id serial PRIMARY KEY, v text)');
    $db->do('COPY perl_copied (v) FROM STDIN');
    $db->pg_putcopydata("one\n");
    $db->pg_putcopydata("\\N\n");
    $db->pg_putcopyend;
    $db->do('COPY (SELECT * FROM perl_copied ORDER BY id) TO STDOUT');
    my $line;
    print $line while $db->pg_getcopydata(\$line) >= 0;
    failing($db, sub { $db->do('COPY perl_copied FROM STDIN'); $db->pg_putcopydata("x\ty\n"); $db->pg_putcopyend });
    rows('returning', $db->selectall_arrayref('INSERT INTO perl_copied (v) VALUES (?) RETURNING id, v', undef, 'three'));
    print $db->last_insert_id(undef, undef, 'perl_copied', undef), "\n";
    rows('copied', $db->selectall_arrayref('SELECT count(*) FROM perl_copied'));
    $db->do('DROP TABLE perl_copied');
    { local $SIG{__WARN__} = sub { print "warning: $_[0]" }; local $db->{PrintWarn} = 1; $db->do(q{SELECT say('hello')}); }
    $db->do('LISTEN perl');
    $other->do(q{NOTIFY perl, 'from another'});
    $db->do(q{NOTIFY perl, 'own'});
    my %source = ($other->{pg_pid} => 'other', $db->{pg_pid} => 'own');
    for (1 .. 2) {
        my $heard;
        $db->ping until $heard = $db->pg_notifies;
        print "$heard->[0] $heard->[2]\nidentity ", $source{ $heard->[1] } // 'unknown', "\n";
    }
    $db->do('SELECT pg_sleep(60)', { pg_async => PG_ASYNC });
    until (($other->selectrow_array(q{SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(6%' AND datname = current_database()}))[0]) { }
    print $db->pg_cancel ? "cancelled\n" : "not cancelled\n";
    rows('usable', $db->selectall_arrayref(q{SELECT 'usable'}));
    $db->do('SELECT count(*) FROM parent', { pg_async => PG_ASYNC });
    print $db->pg_result, "\n";
    print +($db->selectrow_array('SELECT pg_backend_pid()'))[0] == $db->{pg_pid} ? "identity own\n" : "identity another\n";
    $db->begin_work;
    my $object = $db->pg_lo_creat($db->{pg_INV_WRITE});
    my $descriptor = $db->pg_lo_open($object, $db->{pg_INV_WRITE} | $db->{pg_INV_READ});
    print $db->pg_lo_write($descriptor, 'large', 5), "\n";
    $db->pg_lo_lseek($descriptor, 1, 0);
    my $buffer = '';
    print $db->pg_lo_read($descriptor, $buffer, 10), " $buffer\n";
    $db->pg_lo_unlink($object);
    $db->commit;
    print join(' ', map { "$_->[3]:$_->[5]" } @{ $db->column_info(undef, 'public', 'parent', '%')->fetchall_arrayref }), "\n";
    print join(' ', $db->primary_key(undef, 'public', 'parent')), "\n";
    print join(' ', $db->tables(undef, 'public', 'p%', 'TABLE')), "\n";
    print join(' ', map { $_->[3] // '' } @{ $db->foreign_key_info(undef, 'public', 'parent', undef, 'public', 'child')->fetchall_arrayref }), "\n";
    $_->disconnect for $db, $other;
}

common();
full() if $ARGV[0] eq 'full';
