<?php
// PHP: PDO with emulated and with server-side prepared statements, and the pgsql functions.
function rows(string $title, iterable $found): void {
    echo "-- $title\n";
    foreach ($found as $row) { echo json_encode($row, JSON_UNESCAPED_UNICODE | JSON_PARTIAL_OUTPUT_ON_ERROR), "\n"; }
}

function opened(bool $emulated): PDO {
    $dsn = sprintf('pgsql:host=%s;port=%s;dbname=%s;user=%s', getenv('PGHOST'), getenv('PGPORT'), getenv('PGDATABASE'), getenv('PGUSER'));
    return new PDO($dsn, null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_EMULATE_PREPARES => $emulated, PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_NUM]);
}

function failing(callable $work): void {
    try { $work(); echo "no error\n"; } catch (PDOException $error) { echo $error->getCode(), "\n"; }
}

function common(bool $emulated): void {
    echo $emulated ? "== emulated\n" : "== prepared\n";
    $db = opened($emulated);
    $db->exec('CREATE TABLE php_common (id bigint PRIMARY KEY, name text, amount double precision)');
    $insert = $db->prepare('INSERT INTO php_common VALUES (?, ?, ?)');
    foreach ([[1, 'one', 1.5], [2, 'héllo 日本語 ✈', null], [3, null, -2.25]] as $values) { $insert->execute($values); echo $insert->rowCount(), "\n"; }
    $one = $db->prepare('SELECT name, amount FROM php_common WHERE id = :id');
    for ($round = 0; $round < 3; $round++) {
        rows('all', $db->query('SELECT id, name, amount FROM php_common ORDER BY id'));
        $one->execute(['id' => 2]);
        rows('one', $one->fetchAll());
        $typed = $db->prepare('SELECT name FROM php_common WHERE id = :id');
        $typed->bindValue('id', 1, PDO::PARAM_INT);
        $typed->execute();
        rows('typed', $typed->fetchAll(PDO::FETCH_ASSOC));
    }
    $db->beginTransaction();
    $db->exec("UPDATE php_common SET name = 'changed' WHERE id = 1");
    $db->exec('SAVEPOINT s');
    $db->exec('DELETE FROM php_common');
    rows('none left', $db->query('SELECT count(*) FROM php_common'));
    $db->exec('ROLLBACK TO SAVEPOINT s');
    rows('changed', $db->query('SELECT name FROM php_common ORDER BY id'));
    $db->rollBack();
    rows('as before', $db->query('SELECT name FROM php_common ORDER BY id'));
    failing(fn() => $db->query('SELECT * FROM no_such_table'));
    failing(fn() => $db->exec("INSERT INTO php_common VALUES (1, 'again', 0)"));
    $db->beginTransaction();
    failing(fn() => $db->query('SELECT * FROM no_such_table'));
    failing(fn() => $db->query('SELECT count(*) FROM php_common'));
    $db->rollBack();
    $db->exec('DROP TABLE php_common');
}

function full(bool $emulated): void {
    $db = opened($emulated);
    $other = opened($emulated);
    $columns = 'id, small, big, exact, single, double, flag, fixed, varying, words, day, moment, stamp, stamp_zone, span, key, doc, docb, address, bits, numbers, names, feeling, money, place, range, spot, xml';
    for ($round = 0; $round < 2; $round++) {
        $types = $db->query("SELECT $columns FROM every_type ORDER BY id");
        echo json_encode(array_map(fn($n) => array_intersect_key($types->getColumnMeta($n), ['name' => 1, 'native_type' => 1, 'len' => 1]), range(0, 5))), "\n";
        rows('types', $types);
        $bytes = $db->query('SELECT bytes FROM every_type WHERE id = 1')->fetchColumn();
        echo bin2hex(stream_get_contents($bytes)), "\n";
    }
    $scroll = $db->prepare('SELECT id FROM parent ORDER BY id', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
    $db->beginTransaction();
    $scroll->execute();
    echo json_encode($scroll->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST)), json_encode($scroll->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_PRIOR)), "\n";
    $scroll->closeCursor();
    $db->commit();
    $db->exec('CREATE TABLE php_copied (id serial, v text)');
    $db->pgsqlCopyFromArray('php_copied', ["10\tten", "11\t\\N"]);
    echo json_encode($db->pgsqlCopyToArray('php_copied')), "\n";
    $db->exec("INSERT INTO php_copied (v) VALUES ('x')");
    echo $db->lastInsertId(), "\n";
    rows('returning', $db->query("INSERT INTO php_copied (v) VALUES ('y') RETURNING id, v"));
    rows('copied', $db->query('SELECT count(*) FROM php_copied'));
    $db->exec('DROP TABLE php_copied');
    $db->exec('LISTEN php');
    $other->exec("NOTIFY php, 'from another'");
    $heard = $db->pgsqlGetNotify(PDO::FETCH_ASSOC, 10000);
    echo $heard['message'], ' ', $heard['payload'], "\nidentity ", var_export($heard['pid'] === $other->pgsqlGetPid(), true), "\n";
    $db->beginTransaction();
    $object = $db->pgsqlLOBCreate();
    $stream = $db->pgsqlLOBOpen($object, 'w');
    fwrite($stream, 'large');
    fclose($stream);
    echo stream_get_contents($db->pgsqlLOBOpen($object, 'r')), "\n";
    $db->pgsqlLOBUnlink($object);
    $db->commit();
}

function functions(): void {
    echo "== pgsql functions\n";
    $db = pg_connect('dbname=' . getenv('PGDATABASE'));
    $other = pg_connect('dbname=' . getenv('PGDATABASE'), PGSQL_CONNECT_FORCE_NEW);
    pg_prepare($db, 'one', 'SELECT name FROM parent WHERE id = $1');
    for ($round = 0; $round < 3; $round++) {
        rows('prepared', pg_fetch_all(pg_execute($db, 'one', [1])));
        rows('parameters', pg_fetch_all(pg_query_params($db, 'SELECT id, name FROM parent WHERE id < $1 ORDER BY id', [4])));
        rows('query', pg_fetch_all(pg_query($db, 'SELECT count(*) FROM child')));
    }
    pg_query($db, "SELECT say('hello')");
    echo pg_last_notice($db), "\n";
    pg_send_query($db, 'SELECT pg_sleep(60)');
    do { $row = pg_fetch_row(pg_query($other, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(6%' AND datname = current_database()")); } while ($row[0] == 0);
    echo var_export(pg_cancel_query($db), true), "\n";
    rows('usable', pg_fetch_all(pg_query($db, "SELECT 'usable' AS v")));
    pg_send_query($db, 'SELECT * FROM no_such_table');
    echo pg_result_error_field(pg_get_result($db), PGSQL_DIAG_SQLSTATE), ' ', pg_transaction_status($db), "\n";
    pg_query($db, 'LISTEN php');
    pg_query($db, "NOTIFY php, 'own'");
    $heard = pg_get_notify($db, PGSQL_ASSOC);
    echo $heard['message'], ' ', $heard['payload'], "\nidentity ", var_export((int) $heard['pid'] === pg_get_pid($db), true), "\n";
    echo pg_parameter_status($db, 'server_encoding'), "\n";
    rows('meta', [array_keys(pg_meta_data($db, 'parent'))]);
    pg_close($db);
}

foreach ([false, true] as $emulated) {
    common($emulated);
    if ($argv[1] === 'full') { full($emulated); }
}
if ($argv[1] === 'full') { functions(); }
