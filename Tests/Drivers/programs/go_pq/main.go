// lib/pq through database/sql: prepared and simple statements, binary parameters, COPY, notifications, cancel.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lib/pq"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func show(value interface{}) string {
	if bytes, ok := value.([]byte); ok {
		return fmt.Sprintf("%q:bytes", bytes)
	}
	return fmt.Sprintf("%v:%T", value, value)
}

func rows(title string, found *sql.Rows, err error) {
	fmt.Println("--", title)
	must(err)
	defer found.Close()
	columns, err := found.Columns()
	must(err)
	for found.Next() {
		values := make([]interface{}, len(columns))
		targets := make([]interface{}, len(columns))
		for n := range values {
			targets[n] = &values[n]
		}
		must(found.Scan(targets...))
		for _, value := range values {
			fmt.Print(show(value), " | ")
		}
		fmt.Println()
	}
	must(found.Err())
}

func failing(err error) {
	var raised *pq.Error
	if errors.As(err, &raised) {
		fmt.Println(raised.Severity, raised.Code)
	} else {
		fmt.Println("no PostgreSQL error:", err)
	}
}

func common(options string) {
	db, err := sql.Open("postgres", options)
	must(err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE pq_common (id bigint PRIMARY KEY, name text, amount double precision)")
	must(err)
	for _, value := range [][]interface{}{{1, "one", 1.5}, {2, "héllo 日本語 ✈", nil}, {3, nil, -2.25}} {
		done, err := db.Exec("INSERT INTO pq_common VALUES ($1, $2, $3)", value...)
		must(err)
		fmt.Println(done.RowsAffected())
	}
	one, err := db.Prepare("SELECT name, amount FROM pq_common WHERE id = $1")
	must(err)
	for round := 0; round < 3; round++ {
		found, err := db.Query("SELECT id, name, amount FROM pq_common ORDER BY id")
		rows("all", found, err)
		found, err = db.Query("SELECT name FROM pq_common WHERE id = $1", 2)
		rows("parameter", found, err)
		found, err = one.Query(1)
		rows("prepared", found, err)
	}
	must(one.Close())
	tx, err := db.Begin()
	must(err)
	_, err = tx.Exec("UPDATE pq_common SET name = 'changed' WHERE id = 1")
	must(err)
	_, err = tx.Exec("SAVEPOINT s")
	must(err)
	_, err = tx.Exec("DELETE FROM pq_common")
	must(err)
	found, err := tx.Query("SELECT count(*) FROM pq_common")
	rows("none left", found, err)
	_, err = tx.Exec("ROLLBACK TO SAVEPOINT s")
	must(err)
	found, err = tx.Query("SELECT name FROM pq_common ORDER BY id")
	rows("changed", found, err)
	must(tx.Rollback())
	found, err = db.Query("SELECT name FROM pq_common ORDER BY id")
	rows("as before", found, err)
	_, err = db.Exec("SELECT * FROM no_such_table")
	failing(err)
	_, err = db.Exec("INSERT INTO pq_common VALUES (1, 'again', 0)")
	failing(err)
	tx, err = db.Begin()
	must(err)
	_, err = tx.Exec("SELECT * FROM no_such_table")
	failing(err)
	_, err = tx.Exec("SELECT count(*) FROM pq_common")
	failing(err)
	must(tx.Rollback())
	_, err = db.Exec("DROP TABLE pq_common")
	must(err)
}

func full(options string) {
	connector, err := pq.NewConnector(options)
	must(err)
	db := sql.OpenDB(pq.ConnectorWithNoticeHandler(connector, func(notice *pq.Error) { fmt.Println("notice", notice.Message) }))
	defer db.Close()
	columns := "id, small, big, exact, single, double, flag, fixed, varying, words, bytes, day, moment, stamp, stamp_zone, span, key, doc, docb, address, bits, numbers, names, feeling, money, place, range, spot, xml"
	for round := 0; round < 2; round++ {
		found, err := db.Query("SELECT " + columns + " FROM every_type WHERE id <> 2 ORDER BY id")
		must(err)
		kinds, err := found.ColumnTypes()
		must(err)
		for _, kind := range kinds {
			fmt.Print(kind.Name(), ":", kind.DatabaseTypeName(), " ")
		}
		rows("types", found, nil)
		var numbers pq.Int64Array
		must(db.QueryRow("SELECT ARRAY[1, 2, $1]::bigint[]", 3).Scan(&numbers))
		fmt.Println(numbers)
	}
	several, err := db.Query("SELECT 1; SELECT name FROM parent WHERE id = 2; SELECT 3")
	must(err)
	for more := true; more; more = several.NextResultSet() {
		for several.Next() {
			var value string
			must(several.Scan(&value))
			fmt.Println("several", value)
		}
	}
	_, err = db.Exec("CREATE TABLE pq_copied (id integer, v text)")
	must(err)
	tx, err := db.Begin()
	must(err)
	copy, err := tx.Prepare(pq.CopyIn("pq_copied", "id", "v"))
	must(err)
	for n := 0; n < 100; n++ {
		_, err = copy.Exec(n, fmt.Sprint("row ", n))
		must(err)
	}
	_, err = copy.Exec()
	must(err)
	must(copy.Close())
	must(tx.Commit())
	found, err := db.Query("SELECT count(*) FROM pq_copied")
	rows("copied", found, err)
	_, err = db.Exec("DROP TABLE pq_copied")
	must(err)
	_, err = db.Exec("SELECT say('hello')")
	must(err)
	listener := pq.NewListener(options, time.Second, time.Minute, nil)
	must(listener.Listen("pq"))
	_, err = db.Exec("NOTIFY pq, 'payload'")
	must(err)
	select {
	case heard := <-listener.Notify:
		fmt.Println(heard.Channel, heard.Extra)
	case <-time.After(10 * time.Second):
		panic("no notification")
	}
	must(listener.Ping())
	must(listener.Close())
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for running := 0; running == 0; {
			must(db.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(6%' AND datname = current_database()").Scan(&running))
		}
		cancel()
	}()
	_, err = db.ExecContext(ctx, "SELECT pg_sleep(60)")
	failing(err)
	found, err = db.Query("SELECT 'usable'")
	rows("after the cancel", found, err)
	tx, err = db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true})
	must(err)
	_, err = tx.Exec("UPDATE parent SET name = 'x'")
	failing(err)
	must(tx.Rollback())
}

func main() {
	base := fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable", os.Getenv("PGHOST"), os.Getenv("PGPORT"), os.Getenv("PGUSER"), os.Getenv("PGDATABASE"))
	for _, options := range []string{base, base + " binary_parameters=yes"} {
		common(options)
		if os.Args[1] == "full" {
			full(options)
		}
	}
}
