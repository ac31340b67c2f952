# Ruby's pg: simple, extended and prepared; text and binary; COPY, notifications, cancel, pipelines.
require 'pg'
$stdout.sync = true

def opened = PG.connect(dbname: ENV['PGDATABASE'])
def rows(title, result) = (puts "-- #{title}"; result.values.each { |row| p row })
def failing
  yield
  puts 'no error'
rescue PG::Error => e
  puts "#{e.class} #{e.respond_to?(:result) && e.result ? e.result.error_field(PG::PG_DIAG_SQLSTATE) : '-'}"
end

def common
  db = opened
  db.exec 'CREATE TABLE ruby_common (id bigint PRIMARY KEY, name text, amount double precision)'
  db.prepare 'insert', 'INSERT INTO ruby_common VALUES ($1, $2, $3)'
  [[1, 'one', 1.5], [2, 'héllo 日本語 ✈', nil], [3, nil, -2.25]].each { |row| puts db.exec_prepared('insert', row).cmd_tuples }
  db.prepare 'one', 'SELECT name, amount FROM ruby_common WHERE id = $1'
  3.times do
    rows 'all', db.exec('SELECT id, name, amount FROM ruby_common ORDER BY id')
    rows 'parameters', db.exec_params('SELECT name FROM ruby_common WHERE id = $1', [2])
    rows 'binary', db.exec_params('SELECT id, amount FROM ruby_common WHERE id = $1', [1], 1)
    rows 'prepared', db.exec_prepared('one', [1])
    puts db.describe_prepared('one').nparams
  end
  begin
    db.transaction do
      db.exec "UPDATE ruby_common SET name = 'changed' WHERE id = 1"
      db.exec 'SAVEPOINT s'
      db.exec 'DELETE FROM ruby_common'
      rows 'none left', db.exec('SELECT count(*) FROM ruby_common')
      db.exec 'ROLLBACK TO SAVEPOINT s'
      rows 'changed', db.exec('SELECT name FROM ruby_common ORDER BY id')
      raise IndexError, 'back'
    end
  rescue IndexError => e
    puts e.message
  end
  rows 'as before', db.exec('SELECT name FROM ruby_common ORDER BY id')
  failing { db.exec 'SELECT * FROM no_such_table' }
  failing { db.exec "INSERT INTO ruby_common VALUES (1, 'again', 0)" }
  db.exec 'BEGIN'
  failing { db.exec 'SELECT * FROM no_such_table' }
  failing { db.exec 'SELECT count(*) FROM ruby_common' }
  p db.transaction_status
  db.exec 'ROLLBACK'
  db.exec 'DROP TABLE ruby_common'
  db.close
end

def full
  db, other = opened, opened
  db.set_notice_processor { |message| print message }
  columns = 'id, small, big, exact, single, double, flag, fixed, varying, words, bytes, day, moment, stamp, stamp_zone, span, key, doc, docb, address, bits, numbers, names, feeling, money, place, range, spot, xml'
  [0, 1].each do |format|
    2.times do
      found = db.exec_params("SELECT #{columns} FROM every_type ORDER BY id", [], format)
      p(found.fields.each_with_index.map { |name, n| [name, found.ftype(n), found.fformat(n), found.fmod(n)] })
      rows "types #{format}", found
    end
  end
  db.type_map_for_results = PG::BasicTypeMapForResults.new(db) { |_| nil } rescue db.type_map_for_results = PG::BasicTypeMapForResults.new(db)
  2.times { rows 'mapped', db.exec('SELECT id, big, double, flag, words, day, numbers FROM every_type WHERE id = 1') }
  db.type_map_for_results = PG::TypeMapAllStrings.new
  db.exec 'CREATE TABLE ruby_copied (id integer, v text)'
  db.copy_data('COPY ruby_copied FROM STDIN') { db.put_copy_data "1\tone\n"; db.put_copy_data "2\t\\N\n" }
  db.copy_data('COPY (SELECT * FROM ruby_copied ORDER BY id) TO STDOUT CSV') { while (row = db.get_copy_data); p row; end }
  failing { db.copy_data('COPY ruby_copied FROM STDIN') { db.put_copy_data "x\tone\n" } }
  failing { db.copy_data('COPY ruby_copied FROM STDIN') { db.put_copy_data "7\tone\n"; raise PG::Error, 'given up' } }
  rows 'copied', db.exec('SELECT count(*) FROM ruby_copied')
  db.exec 'DROP TABLE ruby_copied'
  db.exec "SELECT say('hello')"
  db.send_query 'SELECT id FROM parent ORDER BY id LIMIT 5'
  db.set_single_row_mode
  db.get_result.stream_each { |row| p row }
  db.get_last_result
  db.send_query 'SELECT 1; SELECT name FROM parent WHERE id = 2; SELECT 3'
  while (result = db.get_result); rows 'several', result; end
  db.exec 'LISTEN ruby'
  other.exec "NOTIFY ruby, 'from another'"
  db.exec "NOTIFY ruby, 'own'"
  source = { other.backend_pid => 'other', db.backend_pid => 'own' }
  2.times { db.wait_for_notify(10) { |channel, pid, payload| puts "#{channel} #{payload}", "identity #{source[pid] || 'unknown'}" } }
  db.send_query 'SELECT pg_sleep(60)'
  nil until other.exec("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(6%' AND datname = current_database()").getvalue(0, 0).to_i.positive?
  p db.cancel
  failing { db.get_last_result }
  rows 'usable', db.exec("SELECT 'usable'")
  if db.respond_to?(:enter_pipeline_mode)
    db.enter_pipeline_mode
    3.times { |n| db.send_query_params 'SELECT name FROM parent WHERE id = $1', [n + 1] }
    db.send_query_params 'SELECT 1 / $1::integer', [0]
    db.send_query_params 'SELECT 2', []
    db.pipeline_sync
    seen = []
    until (result = db.get_result).is_a?(PG::Result) && result.result_status == PG::PGRES_PIPELINE_SYNC
      seen << [result.result_status, result.error_field(PG::PG_DIAG_SQLSTATE)] if result
    end
    p seen
    db.exit_pipeline_mode
  end
  puts "identity #{db.backend_pid == db.exec('SELECT pg_backend_pid()').getvalue(0, 0).to_i}"
  db.transaction do
    object = db.lo_creat
    descriptor = db.lo_open(object, PG::INV_READ | PG::INV_WRITE)
    p db.lo_write(descriptor, 'large'), db.lo_lseek(descriptor, 1, PG::SEEK_SET), db.lo_read(descriptor, 10)
    db.lo_close descriptor
    db.lo_unlink object
  end
  db.internal_encoding = 'ISO-8859-1'
  p db.exec("SELECT 'é', current_setting('client_encoding')").values
  db.reset
  rows 'after reset', db.exec('SELECT name FROM parent WHERE id = 5')
  [db, other].each(&:close)
end

common
full if ARGV[0] == 'full'
