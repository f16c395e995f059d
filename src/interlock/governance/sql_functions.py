"""Which SQL functions only compute and look, per dialect: every other function is denied.

The rule for a name: a built-in of the database that is immutable or stable there, reviewed for what it can do. Left
out although the catalogue calls them stable: what runs a text as SQL (`query_to_xml`, `ts_stat`, `table_to_xml`),
what takes a number or a lock (`txid_current`), and what only the database itself calls. Let in although they are
volatile: `random`, new UUIDs, clocks and sizes, which change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping


def _split(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: What every reviewed database has, or does not understand and refuses by itself.
_EVERYWHERE = """
abs acos asin atan atan2 avg cast ceil ceiling char_length character_length coalesce concat concat_ws convert cos cot
count cume_dist current_date current_time current_timestamp current_user degrees dense_rank exp extract first_value
floor greatest grouping lag last_value lead least left length ln log lower ltrim max min mod nth_value ntile nullif
percent_rank pi position power radians rank replace reverse right round row_number rtrim sign sin sqrt stddev
stddev_pop stddev_samp substring sum tan translate trim upper var_pop var_samp variance
"""

#: Functions of PostgreSQL 12 to 18. `tests/governance/test_sqltext.py` compares them with a real catalogue.
_POSTGRES = """
acosd acosh age any_value area array_agg array_append array_cat array_dims array_fill array_length array_lower
array_ndims array_position array_positions array_prepend array_remove array_replace array_reverse array_sort
array_to_json array_to_string array_to_tsvector array_upper ascii asind asinh atan2d atand atanh bit_and bit_count
bit_length bit_or bit_xor bool_and bool_or bound_box box broadcast btrim cardinality casefold cbrt center chr circle
col_description convert_from convert_to corr cosd cosh cotd covar_pop covar_samp crc32 crc32c current_catalog
current_database current_role current_schema current_schemas current_setting date date_add date_bin date_part
date_subtract date_trunc datemultirange daterange decode diagonal diameter div encode enum_first enum_last enum_range
erf erfc every factorial family format format_type gamma gcd generate_series generate_subscripts get_bit get_byte
get_current_ts_config has_any_column_privilege has_column_privilege has_database_privilege has_function_privilege
has_schema_privilege has_sequence_privilege has_table_privilege has_type_privilege height host hostmask
inet_client_addr inet_client_port inet_merge inet_same_family inet_server_addr inet_server_port initcap int4multirange
int4range int8multirange int8range is_normalized isclosed isempty isfinite isopen json_agg json_agg_strict json_array
json_array_elements json_array_elements_text json_array_length json_arrayagg json_build_array json_build_object
json_each json_each_text json_exists json_extract_path json_extract_path_text json_object json_object_agg
json_object_agg_strict json_object_agg_unique json_object_keys json_objectagg json_populate_record
json_populate_recordset json_query json_scalar json_serialize json_strip_nulls json_table json_to_record
json_to_recordset json_typeof json_value jsonb_agg jsonb_agg_strict jsonb_array_elements jsonb_array_elements_text
jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path
jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_agg_strict jsonb_object_keys
jsonb_path_exists jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array
jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record
jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset
jsonb_to_tsvector jsonb_typeof json_to_tsvector justify_days justify_hours justify_interval lcm lgamma line localtime
localtimestamp log10 lower_inc lower_inf lpad lseg make_date make_interval make_time make_timestamp make_timestamptz
masklen md5 merge_action min_scale mode multirange netmask network normalize now npoints num_nonnulls num_nulls
numeric numnode nummultirange numrange obj_description octet_length overlaps overlay parse_ident path pclose
percentile_cont percentile_disc pg_backend_pid pg_client_encoding pg_collation_for pg_column_size
pg_function_is_visible pg_get_constraintdef pg_get_expr pg_get_function_arguments pg_get_function_identity_arguments
pg_get_function_result pg_get_functiondef pg_get_indexdef pg_get_keywords pg_get_partition_constraintdef
pg_get_partkeydef pg_get_ruledef pg_get_serial_sequence pg_get_statisticsobjdef pg_get_triggerdef pg_get_userbyid
pg_get_viewdef pg_has_role pg_input_is_valid pg_is_other_temp_schema pg_my_temp_schema pg_opclass_is_visible
pg_partition_root pg_postmaster_start_time pg_relation_is_updatable pg_sequence_parameters pg_size_bytes
pg_size_pretty pg_table_is_visible pg_timezone_names pg_type_is_visible pg_typeof pg_wal_lsn_diff phraseto_tsquery
plainto_tsquery point polygon popen pow querytree quote_ident quote_literal quote_nullable radius range_agg
range_intersect_agg range_merge regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace
regexp_split_to_array regexp_split_to_table regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2
regr_slope regr_sxx regr_sxy regr_syy repeat row row_to_json rpad scale session_user set_bit set_byte set_masklen
setweight sha224 sha256 sha384 sha512 shobj_description sind sinh slope split_part starts_with statement_timestamp
string_agg string_to_array string_to_table strip strpos substr system_user tand tanh text timestamp timestamptz
timezone to_ascii to_bin to_char to_date to_hex to_json to_jsonb to_number to_oct to_regclass to_regnamespace
to_regproc to_regprocedure to_regrole to_regtype to_timestamp to_tsquery to_tsvector transaction_timestamp treat
trim_array trim_scale trunc ts_delete ts_filter ts_headline ts_lexize ts_rank ts_rank_cd tsmultirange tsquery_phrase
tsrange tstzmultirange tstzrange tsvector_to_array unistr unnest upper_inc upper_inf user uuid_extract_timestamp
uuid_extract_version varchar version websearch_to_tsquery width width_bucket xml_is_well_formed xmlagg xmlattributes
xmlconcat xmlelement xmlexists xmlforest xmlparse xmlpi xmlroot xmlserialize xmltable xpath xpath_exists
"""
#: Volatile in PostgreSQL's catalogue, and harmless.
POSTGRES_VOLATILE = _split("""
clock_timestamp gen_random_uuid pg_blocking_pids pg_database_size pg_indexes_size pg_is_in_recovery pg_relation_size
pg_table_size pg_tablespace_size pg_total_relation_size random timeofday uuidv4 uuidv7
""")

_SQLITE = """
acosh asinh atanh bm25 changes char cosh current_user date datetime format generate_series glob group_concat hex
highlight if ifnull iif instr json json_array json_array_length json_each json_error_position json_extract
json_group_array json_group_object json_insert json_object json_patch json_pretty json_quote json_remove json_replace
json_set json_tree json_type json_valid jsonb jsonb_array jsonb_each jsonb_extract jsonb_group_array
jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set jsonb_tree julianday
last_insert_rowid like likelihood likely log10 log2 lpad matchinfo median nullif octet_length offsets percentile
percentile_cont percentile_disc pow pragma_foreign_key_list pragma_index_info pragma_index_list pragma_index_xinfo
pragma_table_info pragma_table_list pragma_table_xinfo printf quote random randomblob regexp rpad sinh snippet soundex
sqlite_version strftime string_agg substr subtype tanh time timediff total total_changes trunc typeof unhex unicode
unistr unistr_quote unixepoch unlikely zeroblob
"""

_MYSQL = """
adddate addtime aes_decrypt aes_encrypt any_value ascii bin bin_to_uuid bit_and bit_count bit_length bit_or bit_xor
char charset coercibility collation connection_id conv convert_tz crc32 curdate current_role curtime database date
date_add date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear elt export_set field find_in_set
format format_bytes format_pico_time found_rows from_base64 from_days from_unixtime get_format group_concat hex hour
if ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr interval is_ipv4 is_ipv6 is_uuid isnull json_array
json_array_append json_array_insert json_arrayagg json_contains json_contains_path json_depth json_extract json_insert
json_keys json_length json_merge_patch json_merge_preserve json_object json_objectagg json_overlaps json_pretty
json_quote json_remove json_replace json_schema_valid json_search json_set json_storage_size json_table json_type
json_unquote json_valid json_value last_day lcase like locate localtime localtimestamp log10 log2 lpad make_set
makedate maketime match md5 member microsecond mid minute month monthname now oct octet_length ord period_add
period_diff point pow quarter quote rand regexp_instr regexp_like regexp_replace regexp_substr repeat rlike row
row_count rpad schema sec_to_time second session_user sha sha1 sha2 soundex space st_area st_asgeojson st_astext
st_contains st_distance st_distance_sphere st_geomfromtext st_intersects st_length st_within st_x st_y std str_to_date
strcmp subdate substr substring_index subtime system_user sysdate time time_format time_to_sec timediff timestamp
timestampadd timestampdiff to_base64 to_days to_seconds truncate ucase uncompress compress unhex unix_timestamp user
xor utc_date utc_time utc_timestamp uuid uuid_short uuid_to_bin version week weekday weekofyear weight_string year
yearweek
"""

_TSQL = """
app_name approx_count_distinct approx_percentile_cont approx_percentile_disc ascii atn2 binary_checksum bit_count char
charindex checksum checksum_agg choose col_length col_name columnproperty concat_ws connectionproperty containstable
count_big databasepropertyex date_bucket dateadd datediff datediff_big datefromparts datename datepart
datetime2fromparts datetimefromparts datetimeoffsetfromparts datetrunc day db_id db_name difference eomonth error_line
error_message error_number format formatmessage freetexttable generate_series getansinull getdate getutcdate
grouping_id has_perms_by_name hashbytes host_name ident_current iif indexproperty isdate isjson isnull isnumeric
json_array json_arrayagg json_modify json_object json_objectagg json_path_exists json_query json_value left len log10
month nchar newid object_definition object_id object_name object_schema_name objectproperty objectpropertyex openjson
original_login parse parsename patindex percentile_cont percentile_disc quotename rand replicate rowcount_big
schema_id schema_name scope_identity serverproperty session_user sessionproperty smalldatetimefromparts soundex space
square stdev stdevp str string_agg string_escape string_split stuff suser_id suser_name suser_sname switchoffset
sysdatetime sysdatetimeoffset system_user sysutcdatetime timefromparts todatetimeoffset try_cast try_convert try_parse
type_id type_name typeproperty unicode user user_id user_name var varp year
"""

_SNOWFLAKE = """
add_months any_value approx_count_distinct approx_percentile approx_top_k array_agg array_append array_cat
array_compact array_construct array_construct_compact array_contains array_distinct array_except array_flatten
array_insert array_intersection array_max array_min array_position array_prepend array_size array_slice array_sort
array_to_string array_unique_agg arrays_overlap as_array as_boolean as_date as_double as_integer as_object as_varchar
ascii base64_decode_string base64_encode bitand bitor bitxor boolor_agg booland_agg bit_length cbrt charindex
check_json chr collate conditional_change_event conditional_true_event contains corr count_if covar_pop covar_samp
current_account current_database current_region current_role current_schema current_version current_warehouse date
date_from_parts date_part date_trunc dateadd datediff datefromparts day dayname dayofmonth dayofweek dayofyear decode
div0 div0null editdistance endswith equal_null factorial flatten get get_path getdate hash hash_agg hex_decode_string
hex_encode hour iff ifnull ilike initcap insert is_array is_boolean is_date is_decimal is_integer is_null_value
is_object is_varchar jarowinkler_similarity last_day len like listagg localtime localtimestamp lpad md5 md5_hex median
minute mode month monthname months_between next_day nullifzero nvl nvl2 object_agg object_construct
object_construct_keep_null object_delete object_insert object_keys object_pick octet_length parse_ip parse_json
parse_url percentile_cont percentile_disc pow previous_day quarter random randstr ratio_to_report regexp regexp_count
regexp_instr regexp_like regexp_replace regexp_substr regr_slope repeat rlike rpad rtrimmed_length second sha1 sha2
soundex space split split_part split_to_table square startswith strip_null_value strtok strtok_to_array substr sysdate
table time time_slice time_trunc timeadd timediff timestamp_from_parts timestamp_ntz_from_parts timestampadd
timestampdiff to_array to_binary to_boolean to_char to_date to_decimal to_double to_json to_number to_numeric
to_object to_time to_timestamp to_timestamp_ltz to_timestamp_ntz to_timestamp_tz to_variant to_varchar trunc truncate
try_base64_decode_string try_cast try_parse_json try_to_boolean try_to_date try_to_decimal try_to_double try_to_number
try_to_time try_to_timestamp typeof uniform unicode uuid_string week weekofyear width_bucket year zeroifnull
"""

_BIGQUERY = """
any_value approx_count_distinct approx_quantiles approx_top_count approx_top_sum array array_agg array_concat
array_concat_agg array_first array_last array_length array_reverse array_to_string ascii bit_and bit_count bit_or
bit_xor bool byte_length cbrt chr code_points_to_string contains_substr corr count_if countif covar_pop covar_samp
current_datetime date date_add date_diff date_from_unix_date date_sub date_trunc datetime datetime_add datetime_diff
datetime_sub datetime_trunc div edit_distance ends_with farm_fingerprint float64 format format_date format_datetime
format_time format_timestamp from_base64 from_hex generate_array generate_date_array generate_timestamp_array
generate_uuid hll_count.extract hll_count.merge ieee_divide if ifnull initcap instr int64 is_inf is_nan json_array
json_extract json_extract_array json_extract_scalar json_extract_string_array json_keys json_object json_query
json_query_array json_type json_value json_value_array justify_days justify_hours justify_interval last_day lax_bool
lax_float64 lax_int64 lax_string log10 logical_and logical_or lpad make_interval md5 net.host net.ip_from_string
net.reg_domain normalize octet_length ordinal offset parse_date parse_datetime parse_json parse_time parse_timestamp
percentile_cont percentile_disc pow rand range_bucket regexp_contains regexp_extract regexp_extract_all regexp_instr
regexp_replace regexp_substr repeat rpad safe_add safe_cast safe_convert_bytes_to_string safe_divide safe_multiply
safe_negate safe_offset safe_ordinal safe_subtract session_user sha1 sha256 sha512 soundex split st_area st_astext
st_contains st_distance st_dwithin st_geogfromtext st_geogpoint st_intersects st_within starts_with string string_agg
strpos struct substr time time_add time_diff time_sub time_trunc timestamp timestamp_add timestamp_diff
timestamp_micros timestamp_millis timestamp_seconds timestamp_sub timestamp_trunc to_base64 to_code_points to_hex
to_json to_json_string trunc unicode unix_date unix_micros unix_millis unix_seconds unnest
"""


def _names(text: str) -> frozenset[str]:
    return _split(text) | _split(_EVERYWHERE)


#: The functions a reading statement may call, in lower case, by dialect. A dialect that is not here is not judged.
READING_FUNCTIONS: Mapping[str, frozenset[str]] = {
    "postgres": _names(_POSTGRES) | POSTGRES_VOLATILE,
    "sqlite": _names(_SQLITE),
    "mysql": _names(_MYSQL),
    "tsql": _names(_TSQL),
    "snowflake": _names(_SNOWFLAKE),
    "bigquery": _names(_BIGQUERY),
}

#: Names that databases go by, and the dialect they speak.
DIALECTS: Mapping[str, str] = {name: name for name in READING_FUNCTIONS} | {
    "postgresql": "postgres",
    "pg": "postgres",
    "sqlite3": "sqlite",
    "mariadb": "mysql",
    "mssql": "tsql",
    "sqlserver": "tsql",
}

#: What may stand in front of the name of a built-in function.
HOMES: Mapping[str, frozenset[str]] = {"postgres": frozenset({"pg_catalog"}), "bigquery": frozenset({"safe"})}

#: Words that a parenthesis may follow without a call: keywords of queries and names of types.
BEFORE_PARENTHESIS = _split("""
against all and any apply at before array as asc between by case conflict cross cube desc distinct div else end escape
except exists explain filter for format from full group having ilike in inner intersect is join lateral left like
limit materialized mod not offset on only or order outer over partition percent pivot qualify recursive regexp
repeatable returning right rlike rollup row rows select separator set sets similar some struct system table
tablesample then to top union unnest unpivot using values when where window with within bernoulli block index key
option

bigint binary bit bpchar char character datetime datetime2 datetimeoffset dec decimal double float float4 float8
halfvec int int2 int4 int8 integer interval mediumint nchar number numeric nvarchar precision real signed smallint
string time timestamp timestamp_ltz timestamp_ntz timestamp_tz timestamptz timetz tinyint unsigned varbinary varbit
varchar varying vector
""")

#: Tables of the database itself that hold passwords or what leads to them. They are no data.
SECRET_TABLES = _split("""
pg_authid pg_shadow pg_user_mapping pg_user_mappings pg_hba_file_rules pg_ident_file_mappings pg_file_settings
pg_subscription pg_largeobject mysql.user mysql.global_priv mysql.servers mysql.slave_master_info
performance_schema.replication_connection_configuration sys.sql_logins sys.syslogins sys.sysxlogins sys.credentials
sys.linked_logins sys.remote_logins sys.symmetric_keys sys.asymmetric_keys sys.certificates syslogins sysxlogins
""")
