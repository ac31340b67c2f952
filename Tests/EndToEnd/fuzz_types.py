"""The values, columns and relations that random schemas are made of."""

import dataclasses

# Literals by type. They are few, so that keys meet; the odd spellings of equal values are there
# because a cache that narrows its dependencies by value must not tell them apart, or together,
# where the server does not.
VALUES: dict[str, list[str]] = {
    "integer": ["0", "1", "2", "3", "4", "5", "6", "-1", "-7", "2147483647"],
    "bigint": ["0", "1", "2", "3", "4", "5", "-1", "9007199254740993", "-9223372036854775807"],
    "smallint": ["0", "1", "2", "3", "-1", "32767"],
    "text": ["'a'", "'b'", "'A'", "''", "'a '", "'it''s'", "'é'", "'null'", "'1'", "E'x\\ny'"],
    "varchar(6)": ["'a'", "'b'", "'B'", "''", "'a '", "'1'"],
    "char(3)": ["'a'", "'b'", "'a  '", "''"],
    "boolean": ["true", "false"],
    "date": ["'2020-01-01'", "'2020-02-29'", "'1999-12-31'", "'2020-03-02'"],
    "uuid": ["'00000000-0000-0000-0000-000000000001'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
    "numeric": ["0", "1", "1.0", "2.50", "-0.5", "100"],
    "timestamptz": ["'2020-01-01 00:00+00'", "'2020-07-01 12:30+02'", "'1999-12-31 23:59:59-05'"],
    "jsonb": ["'{\"a\": 1}'", "'[1, 2]'", "'null'", "'\"x\"'"],
    "double precision": ["'0'", "'-0'", "'1.5'", "'NaN'"],
    "mood": ["'sad'", "'ok'", "'happy'"],
    "small": ["0", "1", "2", "3"],
    "text COLLATE folded": ["'a'", "'A'", "'b'", "'B'"],
}

# Other spellings of values, for comparisons: the literal, then what it equals.
SPELLINGS: dict[str, list[str]] = {
    "integer": [
        "' 1'",
        "'2 '",
        "+3",
        "1.0",
        "2::bigint",
        "'4'::integer",
        "-(1)",
        "'-1'",
        "3::numeric",
        "1::smallint",
        "2e0",
        "1.5",
        "NULL",
    ],
    "bigint": [
        "'1'",
        "2::integer",
        "3.0",
        "'0004'",
        "9007199254740992.0::double precision",
        "NULL",
    ],
    "smallint": ["'1'", "2::bigint", "1.0", "100000", "NULL"],
    "text": ["'a'::text", "'b'::varchar", "'a '::char(2)", "'A'::name", "'a' || ''", "NULL"],
    "varchar(6)": ["'a'::text", "'b'::varchar(1)", "'a '::char(3)", "NULL"],
    "char(3)": ["'a'::text", "'a '::text", "'b'::char(5)"],
    "boolean": ["'t'", "'no'", "1::boolean", "NOT false", "'on'"],
    "date": [
        "'Jan 1, 2020'",
        "date '2020-02-29'",
        "'20191231'::date + 1",
        "'2020-01-01'::timestamp",
        "'03/02/2020'",
    ],
    "uuid": ["'{00000000-0000-0000-0000-000000000001}'", "'A0EEBC999C0B4EF8BB6D6BB9BD380A11'"],
    "numeric": ["1.00", "'1'", "2.5", "1::integer"],
    "timestamptz": ["'2020-01-01 02:00+02'", "'2020-01-01'", "'2020-01-01'::date"],
    "small": ["1::integer", "'2'"],
}

# Types whose equal values all print alike: sorting, grouping and LIMIT by them is deterministic.
EXACT = {"integer", "bigint", "smallint", "text", "varchar(6)", "boolean", "date", "uuid", "small",
         "timestamptz"}
NUMBERS = {"integer", "bigint", "smallint", "small"}
COMMON = [
    "integer",
    "integer",
    "integer",
    "bigint",
    "text",
    "text",
    "varchar(6)",
    "boolean",
    "date",
    "uuid",
    "smallint",
]
ODD = ["numeric", "timestamptz", "jsonb", "double precision", "char(3)", "mood", "small",
       "text COLLATE folded"]
ACTIONS = [
    "CASCADE",
    "CASCADE",
    "CASCADE",
    "SET NULL",
    "SET NULL",
    "SET DEFAULT",
    "RESTRICT",
    "NO ACTION",
]


@dataclasses.dataclass
class Column:
    name: str
    type: str
    generated: bool = False
    not_null: bool = False


@dataclasses.dataclass
class Relation:
    """`key` is unique and not null. `kind` is table, partitioned, partition, parent, child, view
    or matview."""

    schema: str
    name: str
    kind: str
    columns: list[Column]
    key: list[str] = dataclasses.field(default_factory=list)
    unique: list[str] = dataclasses.field(default_factory=list)
    writable: bool = True

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)
