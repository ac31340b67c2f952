import PostgresWire

/// What a SQLite database contains, as one schema version: the source of the emulated catalog.
///
/// A value: taken once per schema version and shared by all sessions. The catalog database that
/// answers questions about it is built at the first question and lives as long as the value.
package struct SQLiteSchema: Sendable {
    package struct Column: Hashable, Sendable {
        package let name: String
        package let declaredType: String
        package let isNotNull: Bool
        /// The default's SQL text.
        package let defaultExpression: String?
        /// One-based position in the primary key; 0 outside it.
        package let primaryKeyPosition: Int
        package let isGenerated: Bool

        package var type: SQLiteDeclaredType { SQLiteDeclaredType(declaredType) }
    }

    package struct Index: Hashable, Sendable {
        package enum Origin: String, Hashable, Sendable {
            case createIndex = "c"
            case uniqueConstraint = "u"
            case primaryKey = "pk"
        }
        package struct Key: Hashable, Sendable {
            /// Zero-based column of the table; nil for an expression.
            package let column: Int?
            /// A column's name or an expression's SQL text.
            package let text: String
            package let isDescending: Bool
        }

        package let oid: UInt32
        /// OID of the constraint that the index enforces; 0 for a plain index.
        package let constraintOID: UInt32
        /// The name shown: SQLite's own `sqlite_autoindex_…` are named as PostgreSQL would.
        package let name: String
        package let isUnique: Bool
        package let origin: Origin
        package let keys: [Key]
        /// The condition of a partial index, as SQL text.
        package let predicate: String?
    }

    package struct ForeignKey: Hashable, Sendable {
        package let oid: UInt32
        package let name: String
        /// Zero-based columns of the referring table.
        package let columns: [Int]
        package let referredTable: String
        /// Zero-based columns of the referred table.
        package let referredColumns: [Int]
        /// `NO ACTION`, `RESTRICT`, `CASCADE`, `SET NULL`, `SET DEFAULT`.
        package let onUpdate: String
        package let onDelete: String
    }

    package struct Trigger: Hashable, Sendable {
        package let oid: UInt32
        package let name: String
        package let definition: String
    }

    /// A table or a view.
    package struct Relation: Hashable, Sendable {
        package let oid: UInt32
        package let rowTypeOID: UInt32
        package let name: String
        package let isView: Bool
        package let columns: [Column]
        package let indexes: [Index]
        package let foreignKeys: [ForeignKey]
        package let triggers: [Trigger]
        /// The SELECT of a view.
        package let viewDefinition: String?

        /// The columns of the primary key, zero-based, in its order.
        package var primaryKey: [Int] {
            columns.indices.filter { columns[$0].primaryKeyPosition > 0 }
                .sorted { columns[$0].primaryKeyPosition < columns[$1].primaryKeyPosition }
        }
    }

    /// Tables and views in order of their names.
    package let relations: [Relation]
    let catalog: CatalogDatabase

    /// Reads the schema of a connection's main database. Throws SQLite's error. Call where the
    /// connection may be used; it must not be in the middle of another schema change.
    package static func load(from connection: OpaquePointer) throws(PostgresError) -> SQLiteSchema {
        try SQLiteSchema(relations: SchemaReader(connection: connection).read())
    }

    init(relations: [Relation]) {
        self.relations = relations
        self.catalog = CatalogDatabase(relations: relations)
    }
}
