"""Statements that only read and statements that do more, by dialect, one a line."""

from __future__ import annotations

#: What must be allowed. A line break and a tab within a statement are written \\n and \\t.
READING = {
    "postgres": r"""
SELECT updated_at, deleted FROM t WHERE status = 'deleted'
-- leading\nSELECT 1
/* a */ SELECT 1;
SELECT 1; -- done
EXPLAIN SELECT * FROM t;
EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM t
TABLE users
SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b DESC NULLS LAST
SELECT * FROM a JOIN b USING (id) LEFT JOIN c ON c.id = a.id AND c.x IN (1,2,3)
SELECT * FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.id=t.id) AND NOT (a IS NULL OR b = ANY(ARRAY[1,2]))
SELECT CASE WHEN a > 1 THEN 'x' ELSE 'y' END FROM t
SELECT extract(epoch FROM now() - ts), date_part('year', ts), ts::date, age(ts) FROM t
SELECT now() - interval '1 day', current_date, current_timestamp
SELECT to_char(ts, 'YYYY-MM'), sum(amount) FROM t GROUP BY ROLLUP (1)
SELECT a, count(*) FROM t GROUP BY GROUPING SETS ((a), (b), ())
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM t WHERE n < 100) SELECT sum(n) FROM t
WITH x AS MATERIALIZED (SELECT 1) SELECT * FROM x
SELECT * FROM generate_series(1, 10) AS g(x)
SELECT * FROM generate_series('2024-01-01'::date, now(), '1 day') d
SELECT jsonb_array_elements(data->'items') AS item FROM t
SELECT * FROM jsonb_to_recordset('[{"a":1}]') AS x(a int, b text)
SELECT data @? '$.a[*]' FROM t
SELECT * FROM t WHERE tags && ARRAY['a'] AND name ILIKE '%x%' AND name !~ 'y'
SELECT * FROM pg_stat_activity WHERE state = 'active'
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'
SELECT relname, pg_size_pretty(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'
SELECT pg_catalog.lower(name) FROM t
SELECT "Order ID", "select" FROM "Group"
SELECT x[1:2], (a).b, ROW(1,2) FROM t
SELECT CAST(x AS numeric(10,2)), x::varchar(20), x::text[] FROM t
SELECT lag(x, 1) OVER w FROM t WINDOW w AS (PARTITION BY a ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
SELECT sum(x) FILTER (WHERE y) OVER (PARTITION BY z) FROM t
SELECT substring(name FROM 1 FOR 3), position('a' IN name), trim(both ' ' from name) FROM t
SELECT overlay('a' placing 'b' from 1)
SELECT * FROM t TABLESAMPLE SYSTEM (10)
SELECT * FROM t FETCH FIRST 10 ROWS ONLY
SELECT to_tsvector('english', body) @@ plainto_tsquery('x') FROM t
SELECT 'it''s', $tag$don't; DROP$tag$, U&'d\0061t'
SELECT a FROM t WHERE b = $1
SELECT random(), gen_random_uuid(), clock_timestamp()
SELECT pg_typeof(1), current_setting('server_version'), pg_backend_pid()
SELECT unnest(ARRAY[1,2]), cardinality(x), array_to_string(x, ',') FROM t
SELECT * FROM unnest(ARRAY[1,2], ARRAY['a','b']) WITH ORDINALITY AS u(a, b, n)
SELECT 1 AS "delete", 2 AS update
SELECT * FROM a NATURAL JOIN b CROSS JOIN c
SELECT * FROM a UNION ALL SELECT * FROM b INTERSECT SELECT * FROM c ORDER BY 1 LIMIT 10 OFFSET 5
SELECT round(100.0 * count(*) / nullif(sum(count(*)) over (), 0), 2) FROM t
SELECT x AT TIME ZONE 'UTC' FROM t
SELECT inet '10.0.0.1' << inet '10.0.0.0/8'
SELECT width_bucket(x, 0, 10, 5), greatest(a,b), mode() WITHIN GROUP (ORDER BY x) FROM t
SELECT encode(sha256('x'::bytea), 'hex'), md5('x')
SELECT c.oid, obj_description(c.oid) FROM pg_catalog.pg_class c
SELECT * FROM (VALUES (1,'a'),(2,'b')) AS v(id, name)
SELECT a IS DISTINCT FROM b, a IS NOT TRUE, a BETWEEN SYMMETRIC 1 AND 2 FROM t
SELECT regexp_replace(a, '\s+', ' ', 'g'), split_part(a, ',', 1), string_to_array(a, ',') FROM t
SELECT (SELECT count(*) FROM b WHERE b.id=a.id) AS n FROM a
SELECT json_build_object('a', 1, 'b', json_agg(t)) FROM t
SELECT jsonb_path_query(d, '$.a'), jsonb_set(d, '{a}', '1'), d - 'a', d || '{"b":1}' FROM t
SELECT date '2024-01-01' + 5, (ts, ts2) OVERLAPS (a, b) FROM t
SELECT ARRAY(SELECT id FROM t), array_agg(DISTINCT x ORDER BY x) FROM t
SELECT 'a' || 'b' COLLATE "C"
SELECT count(*) AS insert_count FROM audit_log WHERE action IN ('INSERT','UPDATE','DELETE')
SELECT * FROM users WHERE email = 'x@y.z' -- '; DROP TABLE users; --
SELECT xmlelement(name foo, 'x')
SELECT * FROM ONLY parent
SELECT t.* FROM t, LATERAL unnest(t.xs) AS x
SELECT has_table_privilege('t', 'select')
""",
    "mysql": r"""
SELECT * FROM `update` LIMIT 10, 20
SELECT DATE_FORMAT(ts, '%Y-%m'), COUNT(*) FROM t GROUP BY 1 WITH ROLLUP
SELECT IF(a > 1, 'x', 'y'), IFNULL(a, 0), NULLIF(a, b) FROM t
SELECT DATE_ADD(NOW(), INTERVAL 1 DAY), DATEDIFF(a, b), TIMESTAMPDIFF(HOUR, a, b), UNIX_TIMESTAMP() FROM t
SELECT * FROM t WHERE name REGEXP '^a' AND b RLIKE 'x' AND c <=> NULL
SELECT JSON_EXTRACT(d, '$.a'), d->'$.b', d->>'$.c' FROM t
SELECT @@version, DATABASE(), USER(), VERSION()
SELECT SQL_NO_CACHE * FROM t
SELECT STRAIGHT_JOIN * FROM a JOIN b ON a.id=b.id
SELECT 1 # comment
SELECT 1 -- comment
SELECT CONCAT('a', "b;c"), 'it\'s; DELETE' FROM t
SELECT SUBSTRING_INDEX(a, ',', 1), FIND_IN_SET('a', b), FIELD(a, 1, 2), ELT(1, 'a') FROM t
SELECT CAST(a AS SIGNED), CAST(a AS DECIMAL(10,2)), CONVERT(a USING utf8mb4) FROM t
SELECT GROUP_CONCAT(DISTINCT a ORDER BY b DESC SEPARATOR ', ') FROM t
SELECT * FROM t FORCE INDEX (i) WHERE MATCH(a, b) AGAINST ('x' IN BOOLEAN MODE)
EXPLAIN SELECT * FROM t
EXPLAIN FORMAT=JSON SELECT * FROM t
WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x+1 FROM n WHERE x < 5) SELECT * FROM n
SELECT LEFT(a, 3), RIGHT(a, 3), LPAD(a, 5, '0'), REVERSE(a), CHAR_LENGTH(a) FROM t
SELECT * FROM information_schema.processlist
SELECT TRUNCATE(1.234, 2)
SELECT a DIV b, a MOD b, a XOR b FROM t
SELECT INET_ATON('1.2.3.4'), UUID(), RAND(), MD5('x'), SHA2('x', 256), HEX('a')
SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) FROM t
SELECT STR_TO_DATE('2024', '%Y'), YEAR(ts), MONTHNAME(ts), LAST_DAY(ts), CURDATE(), EXTRACT(YEAR FROM ts) FROM t
SELECT _utf8mb4'x' COLLATE utf8mb4_general_ci, x'4D', 0x4D, b'01', N'x'
SELECT VALUES_COUNT FROM t
SELECT * FROM a, b WHERE (a.x, a.y) IN ((1,2),(3,4))
SELECT COUNT(DISTINCT a, b), BIT_OR(x), STD(x), ANY_VALUE(y) FROM t
SELECT WEEK(a,1), DAYOFWEEK(a), FROM_UNIXTIME(1), SEC_TO_TIME(5) FROM t
""",
    "sqlite": r"""
SELECT date('now', '-1 day'), datetime('now'), julianday('now'), unixepoch()
SELECT name, sql FROM sqlite_master WHERE type='table'
SELECT * FROM pragma_table_info('users')
SELECT group_concat(name, ', ') FROM t
SELECT json_extract(d, '$.a'), d ->> '$.b' FROM t
SELECT * FROM t, json_each(t.d) WHERE json_each.value = 1
SELECT iif(a, b, c), ifnull(a, b), typeof(a), printf('%d', 1), instr(a, 'x'), substr(a, 1, 2) FROM t
SELECT hex(a), quote(a), total(b) FROM t
SELECT * FROM t WHERE a GLOB 'x*' AND b LIKE 'y%' ESCAPE '\'
SELECT rowid, * FROM t ORDER BY random() LIMIT 5
SELECT [order], "group", `x` FROM t
SELECT changes(), last_insert_rowid(), sqlite_version()
SELECT * FROM docs WHERE docs MATCH 'a'
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 10) SELECT x FROM c
EXPLAIN QUERY PLAN SELECT * FROM t
SELECT CAST(a AS INTEGER), a COLLATE NOCASE FROM t
SELECT count(*) FROM t WHERE deleted_at IS NULL
SELECT x'00', 1e5, .5
VALUES (1), (2)
SELECT a IS NOT b, a == b, a <> b, NOT a FROM t
SELECT * FROM t INDEXED BY i WHERE a = ?
SELECT replace(a, 'x', 'y'), trim(a), max(1, 2), abs(-1), round(1.5), coalesce(a, b), nullif(a,b) FROM t
SELECT unicode('a'), char(65)
SELECT sum(x) OVER (ORDER BY y ROWS 2 PRECEDING) FROM t
""",
    "tsql": r"""
SELECT TOP (10) WITH TIES * FROM dbo.Users ORDER BY Score DESC
SELECT [Order Date], [delete] FROM [dbo].[Order Details] WITH (NOLOCK)
SELECT GETDATE(), DATEADD(day, -1, GETDATE()), DATEDIFF(hour, a, b), CONVERT(varchar(10), a, 120) FROM t
SELECT ISNULL(a, 0), IIF(a > 1, 'x', 'y'), CHARINDEX('a', b), LEN(b), STUFF(b, 1, 2, 'x'), PATINDEX('%a%', b) FROM t
SELECT * FROM t ORDER BY a OFFSET 10 ROWS FETCH NEXT 5 ROWS ONLY
SELECT STRING_AGG(name, ',') WITHIN GROUP (ORDER BY name) FROM t
SELECT * FROM t CROSS APPLY (SELECT TOP 1 * FROM s WHERE s.id = t.id) q
SELECT * FROM t OUTER APPLY STRING_SPLIT(t.tags, ',')
SELECT @@VERSION, @@ROWCOUNT, DB_NAME(), SUSER_SNAME(), OBJECT_ID('t')
SELECT a = 1, b AS [c d] FROM t
SELECT * FROM (SELECT a, b FROM t) p PIVOT (SUM(b) FOR a IN ([x], [y])) q
WITH c AS (SELECT 1 AS x) SELECT * FROM c OPTION (MAXRECURSION 10)
SELECT * FROM sys.tables
SELECT CASE WHEN a = 1 THEN 2 END FROM t FOR JSON PATH
SELECT ROW_NUMBER() OVER (ORDER BY (SELECT NULL)) FROM t
SELECT CAST(a AS nvarchar(max)), TRY_CONVERT(int, b), FORMAT(c, 'N2'), YEAR(d), EOMONTH(d) FROM t
SELECT DATENAME(month, d), DATEPART(year, d) FROM t
SELECT N'it''s; DELETE', 'DROP TABLE x' AS [update]
SELECT COUNT_BIG(*), NEWID(), CHECKSUM(a), HASHBYTES('SHA2_256', 'x') FROM t
SELECT * FROM a INNER JOIN b ON a.id = b.id LEFT OUTER JOIN c ON 1=1
SELECT JSON_VALUE(d, '$.a') FROM t CROSS APPLY OPENJSON(t.d) WITH (id int '$.id') AS j
SELECT * FROM db1.dbo.users
SELECT DISTINCT a COLLATE Latin1_General_CI_AS FROM t WHERE b LIKE '%[0-9]%'
SELECT updated_at FROM t WHERE is_deleted = 0
SELECT ABS(a), ROUND(b, 2), CEILING(c), REPLICATE('x', 3), QUOTENAME(d) FROM t
""",
    "snowflake": r"""
SELECT a:b.c::string FROM t, LATERAL FLATTEN(input => t.x) f
SELECT * FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY a ORDER BY b DESC) = 1
SELECT DATEADD(day, -1, CURRENT_DATE()), DATE_TRUNC('month', ts), IFF(a, b, c), NVL(a, b), TO_VARCHAR(ts, 'YYYY') FROM t
SELECT ARRAY_AGG(x) WITHIN GROUP (ORDER BY y), LISTAGG(a, ','), OBJECT_CONSTRUCT('a', 1), PARSE_JSON('{}') FROM t
SELECT * FROM db.schema.t AT (OFFSET => -60)
SELECT TRY_CAST(a AS NUMBER(10,2)), SPLIT_PART(a, ',', 1), $1 FROM t
SELECT $$it's; DROP$$ // c
SELECT COUNT_IF(a), MEDIAN(b), APPROX_COUNT_DISTINCT(c), RATIO_TO_REPORT(x) OVER () FROM t
""",
    "bigquery": r'''
SELECT * EXCEPT (a) FROM `p.d.t` WHERE DATE(ts) = DATE_SUB(CURRENT_DATE(), INTERVAL 1 DAY)
SELECT STRUCT(1 AS a, 'x' AS b), ARRAY_AGG(x IGNORE NULLS ORDER BY y LIMIT 5), [1,2][OFFSET(0)] FROM t
SELECT COUNTIF(a), SAFE_DIVIDE(a, b), APPROX_QUANTILES(x, 100)[OFFSET(50)], FORMAT_DATE('%Y', d), GENERATE_UUID() FROM t
SELECT x FROM t, UNNEST(t.items) AS x WITH OFFSET o
SELECT r'a\d', """x;y""", b'z' FROM t # c
SELECT NET.HOST(a), SAFE.SUBSTR(a, 1), JSON_VALUE(d, '$.a'), REGEXP_CONTAINS(a, r'x'), TIMESTAMP_TRUNC(ts, DAY) FROM t
SELECT PARSE_DATE('%Y', a) FROM t
SELECT * FROM t FOR SYSTEM_TIME AS OF TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR)
SELECT a FROM my-project.d.t QUALIFY RANK() OVER (ORDER BY a) = 1
''',
}

#: What must be blocked.
DOING_MORE = {
    "postgres": r"""
DROP TABLE t
DELETE
SELECT
;
SELECT 1'
SELECT pg_sleep(10)
SELECT pg_sleep (10)
SELECT pg_sleep/**/(10)
SELECT pg_catalog.pg_sleep(10)
SELECT "pg_sleep"(10)
SELECT "pg_catalog"."pg_sleep"(10)
SELECT U&"pg\005fsleep"(10)
SELECT lo_import('/etc/passwd')
SELECT * FROM pg_ls_dir('.')
SELECT * FROM ROWS FROM (pg_sleep(1), generate_series(1,2)) AS t
SELECT 1 FROM t WHERE x = (SELECT pg_read_file('x'))
SELECT * FROM t ORDER BY pg_sleep(1)
SELECT * FROM t LIMIT (SELECT nextval('s'))
SELECT * FROM t LIMIT nextval('s')
VALUES (nextval('s'))
SELECT * FROM (VALUES (pg_sleep(1))) v
SELECT * FROM t, LATERAL pg_sleep(1)
SELECT * FROM t JOIN pg_sleep(1) ON true
SELECT CASE WHEN pg_sleep(1) IS NULL THEN 1 END
SELECT count(*) FILTER (WHERE pg_sleep(1) IS NULL) FROM t
SELECT sum(1) OVER (ORDER BY nextval('s'))
SELECT a FROM t GROUP BY nextval('s')
SELECT a FROM t HAVING setval('s',1) > 0
SELECT 1 UNION SELECT nextval('s')
SELECT ARRAY[nextval('s')]
SELECT (nextval('s'))::text
WITH x AS (SELECT pg_sleep(1)) SELECT * FROM x
WITH pg_sleep(x) AS (SELECT 1) SELECT pg_sleep(5)
WITH a AS (SELECT 1), pg_sleep(x) AS (SELECT 1) SELECT * FROM t WHERE pg_sleep(5) IS NULL
WITH x AS (UPDATE t SET a=1 RETURNING *) SELECT * FROM x
WITH RECURSIVE t AS (DELETE FROM x RETURNING 1) SELECT 1
SELECT * FROM t WHERE a IN (DELETE FROM t RETURNING 1)
SELECT EXISTS (DELETE FROM t)
INSERT INTO t SELECT 1
MERGE INTO t USING s ON t.id=s.id WHEN MATCHED THEN DELETE
SELECT * INTO x FROM t
SELECT 1 AS a INTO UNLOGGED x
SELECT * FROM t FOR UPDATE
SELECT * FROM t FOR UPDATE OF t NOWAIT
SELECT * FROM (SELECT * FROM t FOR UPDATE) q
SELECT * FROM t FOR KEY SHARE
EXPLAIN ANALYZE UPDATE t SET a=1
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO t VALUES (1)
EXPLAIN ANALYZE SELECT pg_sleep(1)
EXPLAIN SELECT 1; DROP TABLE t
EXPLAIN ANALYZE EXECUTE p
EXPLAIN ANALYZE SELECT 1 INTO x
SELECT current_setting('x'), set_config('role','postgres',true)
SELECT evil.lower('x')
SELECT public.lower('x')
SELECT "Lower"('x')
SELECT my_func()
SELECT (my_func()).*
SELECT a OPERATOR(evil.+) b FROM t
SELECT ts_stat('select pg_sleep(1)')
SELECT * FROM ts_stat('DELETE FROM t RETURNING 1')
SELECT ts_rewrite('a'::tsquery, 'SELECT 1')
SELECT table_to_xml('t',true,true,'')
SELECT cursor_to_xml('c',1,true,true,'')
SELECT xpath_table('a','b','c','d','e')
SELECT * FROM crosstab('SELECT 1')
SELECT * FROM dblink_connect('x')
SELECT pg_notify('a','b')
SELECT pg_logical_emit_message(true,'a','b')
SELECT pg_try_advisory_lock(1)
SELECT pg_export_snapshot()
SELECT currval('x'), lastval()
SELECT lo_get(1), loread(1,1), lo_from_bytea(0,'x')
SELECT setseed(0.5)
SELECT pg_current_xact_id()
SELECT http_get('http://evil')
SELECT * FROM pg_shadow
SELECT rolpassword FROM pg_catalog.pg_authid
SELECT * FROM "pg_authid"
WITH pg_shadow AS (SELECT * FROM pg_shadow) SELECT * FROM pg_shadow
SELECT 1;SELECT 2
SELECT 1;;DROP TABLE t
SELECT 'a' ; DELETE FROM t; --'
SELECT E'\'; DROP TABLE t; --'; DROP TABLE x
SELECT a$$b FROM t; DROP TABLE x; --$$
SELECT $a$ $b$ $a$; DROP TABLE t; --$b$
SELECT '\'; DROP TABLE t; --'
SELECT 1 /* */ */; DROP TABLE t
SELECT 1 /* open
SELECT {# pg_sleep(5) #} 1
SELECT 1 \g DROP TABLE t
SELECT 1 \gexec
DO $$ BEGIN DELETE FROM t; END $$
CALL p()
PREPARE p AS DELETE FROM t
DECLARE c CURSOR FOR SELECT 1
FETCH ALL FROM c
LOAD 'x'
LISTEN x
LOCK TABLE t
REINDEX TABLE t
ALTER SYSTEM SET x = 'y'
ALTER TABLE t ADD COLUMN x int
CREATE EXTENSION dblink
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE TEMP TABLE x (a int)
IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c
SHOW ALL
SET x = y
CHECKPOINT
ANALYZE t
COPY (SELECT 1) TO PROGRAM 'sh'
SELECT filter(1)
SELECT over(1)
SELECT string(1)
SELECT datetime(1)
SELECT apply(1)
SELECT search(1)
SELECT struct(1)
SELECT at(1)
SELECT key(1)
SELECT xor(1,2)
SELECT unpivot(1)
SELECT vector(1)
""",
    "mysql": r"""
SELECT SLEEP(5)
SELECT sleep (5)
SELECT `SLEEP`(5)
SELECT LOAD_FILE('/etc/passwd')
SELECT * FROM t INTO OUTFILE '/tmp/x'
SELECT * INTO OUTFILE '/tmp/x' FROM t
SELECT @a := 1
SELECT 1 FROM t WHERE (@a := @a + 1) > 0
SELECT GET_LOCK('a', 10), RELEASE_LOCK('a')
SELECT * FROM t FOR UPDATE
SELECT * FROM t LOCK IN SHARE MODE
SELECT * FROM t FOR SHARE SKIP LOCKED
/*!50000 DROP TABLE t */
SELECT /*!50000 SLEEP(5) */
SELECT 1 /*M! , SLEEP(5) */
SELECT 1 --1 INTO OUTFILE '/tmp/x'
SELECT 1 --\tx\n; DROP TABLE t
SELECT /*+ SET_VAR(sql_log_bin=0) */ 1
SELECT 1 PROCEDURE ANALYSE()
SELECT 'a\' ; DROP TABLE t; -- '; DROP TABLE x
SELECT "a\"; DROP TABLE t; -- "; DROP TABLE t
SELECT 1 /* /* */; DROP TABLE t; -- */
REPLACE INTO t VALUES (1)
LOAD DATA INFILE 'x' INTO TABLE t
CALL p()
DO SLEEP(5)
SET @a = 1
LOCK TABLES t WRITE
RENAME TABLE a TO b
PREPARE s FROM 'DELETE FROM t'
INSTALL PLUGIN x SONAME 'y'
GRANT ALL ON *.* TO x
SELECT MASTER_POS_WAIT('a',1), WAIT_FOR_EXECUTED_GTID_SET('a')
SELECT sys_exec('id')
SELECT mydb.f(1)
SELECT user, authentication_string FROM mysql.user
SELECT * FROM t WHERE id = 1; DROP TABLE t
TRUNCATE t
OPTIMIZE TABLE t
HANDLER t READ FIRST
SELECT NEXTVAL(s), NEXT VALUE FOR s
EXPLAIN ANALYZE DELETE FROM t
EXPLAIN FOR CONNECTION 5
XA START 'x'
SELECT {# \n x load_file('/etc/passwd') #}\n}
SELECT LAST_INSERT_ID(5)
""",
    "sqlite": r"""
SELECT load_extension('x')
SELECT `load_extension`('x')
SELECT [load_extension]('x')
SELECT "load_extension"('x')
SELECT readfile('/etc/passwd')
SELECT writefile('x','y')
SELECT edit('x')
SELECT eval('DROP TABLE t')
SELECT fts3_tokenizer('x')
PRAGMA journal_mode=DELETE
SELECT * FROM pragma_journal_mode('wal')
VACUUM
VACUUM INTO '/tmp/x'
REPLACE INTO t VALUES (1)
INSERT OR REPLACE INTO t VALUES (1)
WITH x AS (SELECT 1) DELETE FROM t
SELECT 1; DROP TABLE t
SELECT 1 /* /* */; DROP TABLE t; -- */
SELECT '\'; DROP TABLE t; --'
SELECT [a]; DROP TABLE t; --]
CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; END
CREATE VIRTUAL TABLE x USING fts5(a)
ATTACH 'x' AS y
SAVEPOINT x
.shell id
""",
    "tsql": r"""
SELECT 1 DELETE FROM users
SELECT 1 EXEC xp_cmdshell 'dir'
SELECT 1\nDROP TABLE t
SELECT * FROM t UPDATE t SET a = 1
SELECT 1 TRUNCATE TABLE t
SELECT 1 INSERT t VALUES (1)
SELECT 1 SHUTDOWN
SELECT 1 CHECKPOINT
SELECT 1 WAITFOR DELAY '0:0:5'
SELECT 1 DECLARE @x int
SELECT 1 USE master
SELECT 1 KILL 5
SELECT 1 BACKUP DATABASE a TO DISK='x'
SELECT 1 IF 1=1 SELECT 2
SELECT 1 GO DROP TABLE t
SELECT 1 DISABLE TRIGGER x ON t
SELECT * FROM t ENABLE TRIGGER x ON t
SELECT * FROM t AS a DISABLE TRIGGER ALL ON t
SELECT 1 SELECT 2 DELETE t
SELECT CASE WHEN 1=1 THEN 1 END DELETE t
SELECT @a = 1
SELECT @a = a FROM t
SELECT @a += a FROM t
SELECT * INTO #t FROM u
SELECT * FROM OPENQUERY(srv, 'DELETE FROM t')
SELECT * FROM OPENDATASOURCE('a','b').c.d.e
SELECT * FROM srv.db.dbo.t
SELECT * FROM OPENROWSET(BULK 'c:\x', SINGLE_CLOB) AS x
SELECT * FROM t WITH (UPDLOCK)
SELECT * FROM t WITH (TABLOCKX, HOLDLOCK)
SELECT dbo.f(1)
SELECT * FROM dbo.f(1)
SELECT * FROM sys.xp_cmdshell('x')
SELECT NEXT VALUE FOR seq
sp_configure 'x', 1
EXEC('DROP TABLE t')
EXECUTE AS LOGIN = 'sa'
INSERT INTO t EXEC p
MERGE t USING s ON 1=1 WHEN MATCHED THEN DELETE;
BULK INSERT t FROM 'x'
DBCC CHECKDB
RECONFIGURE
BEGIN TRAN
WITH x AS (SELECT * FROM t) DELETE FROM x
WITH x AS (SELECT 1 a) UPDATE x SET a = 2
SELECT password_hash FROM sys.sql_logins
SELECT * FROM fn_xe_file_target_read_file('\\evil\x',null,null,null)
SELECT * FROM t; EXEC x
SELECT x.modify('delete') FROM t
""",
    "snowflake": r"""
SELECT $1 FROM @stage/x.csv
SELECT * FROM '@stage/x.csv'
SELECT SYSTEM$CANCEL_QUERY('x')
SELECT * FROM TABLE(my_udtf(1))
SELECT * FROM IDENTIFIER('x')
SELECT SNOWFLAKE.CORTEX.COMPLETE('a','b')
SELECT seq.nextval
COPY INTO @s FROM t
PUT file:///x @s
CALL p()
EXECUTE IMMEDIATE 'DROP TABLE t'
SELECT 'a\'; DROP TABLE t; --'; DROP TABLE t
SELECT 1 // x\n; DROP TABLE t
""",
    "bigquery": r"""
SELECT * FROM EXTERNAL_QUERY('a','b')
SELECT * FROM ML.PREDICT(MODEL m, TABLE t)
SELECT * FROM AI.GENERATE_TEXT(MODEL m, TABLE t)
SELECT my_ds.f(1)
SELECT `p.d.f`(1)
EXPORT DATA OPTIONS(uri='gs://x') AS SELECT 1
EXECUTE IMMEDIATE 'x'
CREATE TEMP FUNCTION f() AS (1); SELECT f()
SELECT '''a'''; DROP TABLE t; --'''
SELECT KEYS.NEW_KEYSET('x')
BEGIN SELECT 1; END
LOAD DATA INTO t FROM FILES(uris=['x'])
""",
}
