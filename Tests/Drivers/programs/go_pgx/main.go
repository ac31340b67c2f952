// pgx: all of its query modes, batches, COPY, cursors, notifications, cancel, large objects, pool.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgconn/stmtcache"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

var ctx, _ = context.WithTimeout(context.Background(), 100*time.Second)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func rows(title string, found pgx.Rows, err error) {
	fmt.Println("--", title)
	must(err)
	defer found.Close()
	for found.Next() {
		values, err := found.Values()
		must(err)
		for _, value := range values {
			fmt.Printf("%v:%T | ", value, value)
		}
		fmt.Println()
	}
	must(found.Err())
}

func raw(title string, found pgx.Rows, err error) {
	fmt.Println("--", title)
	must(err)
	defer found.Close()
	for found.Next() {
		for n, value := range found.RawValues() {
			fmt.Printf("%q:%d | ", value, found.FieldDescriptions()[n].DataTypeOID)
		}
		fmt.Println()
	}
	must(found.Err())
}

func failing(err error) {
	var raised *pgconn.PgError
	if errors.As(err, &raised) {
		fmt.Println(raised.Severity, raised.Code)
	} else {
		fmt.Println("no PostgreSQL error:", err)
	}
}

func opened(mode string) *pgx.Conn {
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable", os.Getenv("PGHOST"), os.Getenv("PGPORT"), os.Getenv("PGUSER"), os.Getenv("PGDATABASE")))
	must(err)
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) { fmt.Println("notice", notice.Message) }
	switch mode {
	case "simple":
		config.PreferSimpleProtocol = true
	case "describe":
		config.BuildStatementCache = func(c *pgconn.PgConn) stmtcache.Cache { return stmtcache.New(c, stmtcache.ModeDescribe, 32) }
	case "none":
		config.BuildStatementCache = nil
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	must(err)
	return conn
}

func common(mode string) {
	fmt.Println("==", mode)
	conn := opened(mode)
	defer conn.Close(ctx)
	_, err := conn.Exec(ctx, "CREATE TABLE pgx_common (id bigint PRIMARY KEY, name text, amount double precision)")
	must(err)
	for _, value := range [][]interface{}{{1, "one", 1.5}, {2, "héllo 日本語 ✈", nil}, {3, nil, -2.25}} {
		tag, err := conn.Exec(ctx, "INSERT INTO pgx_common VALUES ($1, $2, $3)", value...)
		must(err)
		fmt.Println(tag)
	}
	for round := 0; round < 3; round++ {
		found, err := conn.Query(ctx, "SELECT id, name, amount FROM pgx_common ORDER BY id")
		rows("all", found, err)
		found, err = conn.Query(ctx, "SELECT name FROM pgx_common WHERE id = $1", 2)
		rows("parameter", found, err)
		batch := &pgx.Batch{}
		for n := 1; n <= 3; n++ {
			batch.Queue("SELECT name FROM pgx_common WHERE id = $1", n)
		}
		results := conn.SendBatch(ctx, batch)
		for n := 1; n <= 3; n++ {
			found, err := results.Query()
			rows("batch", found, err)
		}
		must(results.Close())
	}
	tx, err := conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "UPDATE pgx_common SET name = 'changed' WHERE id = 1")
	must(err)
	nested, err := tx.Begin(ctx)
	must(err)
	_, err = nested.Exec(ctx, "DELETE FROM pgx_common")
	must(err)
	found, err := nested.Query(ctx, "SELECT count(*) FROM pgx_common")
	rows("none left", found, err)
	must(nested.Rollback(ctx))
	found, err = tx.Query(ctx, "SELECT name FROM pgx_common ORDER BY id")
	rows("changed", found, err)
	must(tx.Rollback(ctx))
	found, err = conn.Query(ctx, "SELECT name FROM pgx_common ORDER BY id")
	rows("as before", found, err)
	_, err = conn.Exec(ctx, "SELECT * FROM no_such_table")
	failing(err)
	_, err = conn.Exec(ctx, "INSERT INTO pgx_common VALUES (1, 'again', 0)")
	failing(err)
	tx, err = conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "SELECT * FROM no_such_table")
	failing(err)
	_, err = tx.Exec(ctx, "SELECT count(*) FROM pgx_common")
	failing(err)
	fmt.Println(tx.Rollback(ctx))
	_, err = conn.Exec(ctx, "DROP TABLE pgx_common")
	must(err)
}

func named(conn *pgx.Conn) {
	_, err := conn.Prepare(ctx, "named", "SELECT name FROM parent WHERE id = $1")
	must(err)
	for round := 0; round < 3; round++ {
		found, err := conn.Query(ctx, "named", 1+round%2)
		rows("named", found, err)
	}
	must(conn.Deallocate(ctx, "named"))
}

func full(mode string) {
	conn, other := opened(mode), opened(mode)
	defer conn.Close(ctx)
	defer other.Close(ctx)
	columns := "id, small, big, exact, single, double, flag, fixed, varying, words, bytes, day, moment, stamp, stamp_zone, span, key, doc, docb, address, network, bits, numbers, names, range"
	for round := 0; round < 2; round++ {
		found, err := conn.Query(ctx, "SELECT "+columns+" FROM every_type WHERE id = 1 ORDER BY id")
		rows("types", found, err)
		found, err = conn.Query(ctx, "SELECT "+columns+", feeling, place, area, mac, money, vector, spot, xml FROM every_type ORDER BY id")
		raw("raw", found, err)
		found, err = conn.Query(ctx, "SELECT id, words, double FROM every_type WHERE id = $1", pgx.QueryResultFormats{1, 0, 1}, 1)
		raw("formats", found, err)
	}
	if mode == "prepare" {
		named(conn)
	}
	_, err := conn.Exec(ctx, "CREATE TABLE pgx_copied (id integer, v text)")
	must(err)
	source := [][]interface{}{{int32(1), "one"}, {int32(2), nil}}
	copied, err := conn.CopyFrom(ctx, pgx.Identifier{"pgx_copied"}, []string{"id", "v"}, pgx.CopyFromRows(source))
	fmt.Println(copied, err)
	var output strings.Builder
	_, err = conn.PgConn().CopyTo(ctx, &output, "COPY (SELECT * FROM pgx_copied ORDER BY id) TO STDOUT CSV")
	must(err)
	fmt.Println(output.String())
	_, err = conn.PgConn().CopyFrom(ctx, strings.NewReader("x\ty\n"), "COPY pgx_copied FROM STDIN")
	failing(err)
	found, err := conn.Query(ctx, "SELECT count(*) FROM pgx_copied")
	rows("copied", found, err)
	_, err = conn.Exec(ctx, "DROP TABLE pgx_copied")
	must(err)
	_, err = conn.Exec(ctx, "SELECT say('hello')")
	must(err)
	results, err := conn.PgConn().Exec(ctx, "SELECT 1; SELECT name FROM parent WHERE id = 2; SELECT 3").ReadAll()
	must(err)
	for _, result := range results {
		fmt.Printf("several %q %s\n", result.Rows, result.CommandTag)
	}
	batch := &pgx.Batch{}
	batch.Queue("UPDATE parent SET note = 'lost' WHERE id = 1")
	batch.Queue("SELECT 1 / $1::integer", 0)
	batch.Queue("SELECT 2")
	failing(conn.SendBatch(ctx, batch).Close())
	found, err = conn.Query(ctx, "SELECT note FROM parent WHERE id = 1")
	rows("unchanged", found, err)
	_, err = conn.Exec(ctx, "LISTEN pgx")
	must(err)
	_, err = other.Exec(ctx, "NOTIFY pgx, 'from another'")
	must(err)
	heard, err := conn.WaitForNotification(ctx)
	must(err)
	fmt.Println(heard.Channel, heard.Payload)
	fmt.Println("identity", heard.PID == other.PgConn().PID())
	_, err = conn.Exec(ctx, "UNLISTEN *")
	must(err)
	go func() {
		for running := 0; running == 0; {
			must(other.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(6%' AND datname = current_database()").Scan(&running))
		}
		must(conn.PgConn().CancelRequest(ctx))
	}()
	_, err = conn.Exec(ctx, "SELECT pg_sleep(60)")
	failing(err)
	found, err = conn.Query(ctx, "SELECT 'usable'")
	rows("after the cancel", found, err)
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly, DeferrableMode: pgx.Deferrable})
	must(err)
	_, err = tx.Exec(ctx, "UPDATE parent SET name = 'x'")
	failing(err)
	must(tx.Rollback(ctx))
	tx, err = conn.Begin(ctx)
	must(err)
	large := tx.LargeObjects()
	number, err := large.Create(ctx, 0)
	must(err)
	object, err := large.Open(ctx, number, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
	must(err)
	_, err = object.Write([]byte("large"))
	must(err)
	_, err = object.Seek(1, io.SeekStart)
	must(err)
	content, err := io.ReadAll(object)
	fmt.Println(string(content), err)
	must(tx.Rollback(ctx))
	pool, err := pgxpool.Connect(ctx, fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable pool_max_conns=4", os.Getenv("PGHOST"), os.Getenv("PGPORT"), os.Getenv("PGUSER"), os.Getenv("PGDATABASE")))
	must(err)
	answers := make(chan string, 40)
	for n := 0; n < 40; n++ {
		go func(id int) {
			var name string
			must(pool.QueryRow(ctx, "SELECT name FROM parent WHERE id = $1", id).Scan(&name))
			answers <- fmt.Sprint(id, name)
		}(1 + n%5)
	}
	counts := map[string]int{}
	for n := 0; n < 40; n++ {
		counts[<-answers]++
	}
	fmt.Println(counts)
	pool.Close()
}

func main() {
	for _, mode := range []string{"prepare", "describe", "none", "simple"} {
		common(mode)
		if os.Args[1] == "full" {
			full(mode)
		}
	}
}
