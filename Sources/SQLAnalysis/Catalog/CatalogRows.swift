/// The rows of PostgreSQL's system catalogs that analysis needs, as they were read.
///
/// https://www.postgresql.org/docs/15/catalogs.html
package struct CatalogRows: Sendable {
    package struct Namespace: Sendable {
        package var oid: UInt32
        package var name: String
        package init(oid: UInt32, name: String) {
            self.oid = oid
            self.name = name
        }
    }

    /// pg_class: everything but indexes, TOAST tables and composite types.
    package struct Class: Sendable {
        package var oid: UInt32
        package var name: String
        package var namespace: UInt32
        /// relkind.
        package var kind: Character
        package var isTemporary: Bool
        package var hasRowSecurity: Bool
        package init(
            oid: UInt32, name: String, namespace: UInt32, kind: Character,
            isTemporary: Bool = false, hasRowSecurity: Bool = false
        ) {
            self.oid = oid
            self.name = name
            self.namespace = namespace
            self.kind = kind
            self.isTemporary = isTemporary
            self.hasRowSecurity = hasRowSecurity
        }
    }

    /// pg_attribute: columns of user relations and composite types, in the relation's order.
    package struct Attribute: Sendable {
        package var relation: UInt32
        package var name: String
        package var type: UInt32
        /// Its type has a modifier: what is assigned may be cut or rounded.
        package var hasModifier: Bool
        package var isGenerated: Bool
        /// Whether equal means equal bytes; true for types without a collation.
        package var hasDeterministicCollation: Bool
        package init(
            relation: UInt32, name: String, type: UInt32, hasModifier: Bool = false,
            isGenerated: Bool = false, hasDeterministicCollation: Bool = true
        ) {
            self.relation = relation
            self.name = name
            self.type = type
            self.hasModifier = hasModifier
            self.isGenerated = isGenerated
            self.hasDeterministicCollation = hasDeterministicCollation
        }
    }

    /// An index that is valid, of all rows, and on nothing but columns.
    package struct Index: Sendable {
        package var relation: UInt32
        /// In their order, without those of INCLUDE.
        package var columns: [String]
        package var isUnique: Bool
        package var isPrimary: Bool
        package init(
            relation: UInt32, columns: [String], isUnique: Bool = true, isPrimary: Bool = false
        ) {
            self.relation = relation
            self.columns = columns
            self.isUnique = isUnique
            self.isPrimary = isPrimary
        }
    }

    package struct Inheritance: Sendable {
        package var child: UInt32
        package var parent: UInt32
        package init(child: UInt32, parent: UInt32) {
            self.child = child
            self.parent = parent
        }
    }

    package struct ForeignKey: Sendable {
        /// What a change of the referenced row does to the rows that reference it.
        package enum Action: Sendable {
            /// NO ACTION and RESTRICT.
            case none
            case cascade
            /// SET NULL and SET DEFAULT.
            case set

            /// confdeltype and confupdtype.
            package init(_ letter: Character) {
                switch letter {
                case "c": self = .cascade
                case "n", "d": self = .set
                default: self = .none
                }
            }
        }

        package var referencing: UInt32
        package var referencingColumns: [String]
        package var referenced: UInt32
        package var referencedColumns: [String]
        package var onDelete: Action
        package var onUpdate: Action
        package init(
            referencing: UInt32, _ referencingColumns: [String], referenced: UInt32,
            _ referencedColumns: [String], onDelete: Action = .none, onUpdate: Action = .none
        ) {
            self.referencing = referencing
            self.referencingColumns = referencingColumns
            self.referenced = referenced
            self.referencedColumns = referencedColumns
            self.onDelete = onDelete
            self.onUpdate = onUpdate
        }
    }

    /// An enabled trigger that a user made.
    package struct Trigger: Sendable {
        package var relation: UInt32
        package var function: UInt32
        package init(relation: UInt32, function: UInt32) {
            self.relation = relation
            self.function = function
        }
    }

    /// A function that runs when the relation is read or written: in a default, a constraint
    /// (of a domain type of one of its columns too), a policy.
    package struct Dependency: Sendable {
        package var relation: UInt32
        package var function: UInt32
        package init(relation: UInt32, function: UInt32) {
            self.relation = relation
            self.function = function
        }
    }

    package struct Function: Sendable {
        package var oid: UInt32
        package var name: String
        package var namespace: UInt32
        /// provolatile: i, s or v.
        package var volatility: Character
        package var language: String
        package var argumentTypes: [UInt32]
        package var defaultCount: Int
        package var isVariadic: Bool
        package var resultType: UInt32
        /// The body of a SQL or PL/pgSQL function; empty for the server's own.
        package var source: String
        package init(
            oid: UInt32, name: String, namespace: UInt32, volatility: Character,
            language: String = "internal", argumentTypes: [UInt32] = [], defaultCount: Int = 0,
            isVariadic: Bool = false, resultType: UInt32 = 0, source: String = ""
        ) {
            self.oid = oid
            self.name = name
            self.namespace = namespace
            self.volatility = volatility
            self.language = language
            self.argumentTypes = argumentTypes
            self.defaultCount = defaultCount
            self.isVariadic = isVariadic
            self.resultType = resultType
            self.source = source
        }
    }

    /// A user-defined operator.
    package struct Operator: Sendable {
        package var name: String
        package var function: UInt32
        /// The types of its operands; 0 for none.
        package var left: UInt32
        package var right: UInt32
        package init(name: String, function: UInt32, left: UInt32 = 0, right: UInt32 = 0) {
            self.name = name
            self.function = function
            self.left = left
            self.right = right
        }
    }

    package struct DataType: Sendable {
        package var oid: UInt32
        package var name: String
        package var namespace: UInt32
        /// typtype: b, c, d, e, p, r or m.
        package var kind: Character
        /// The element, base or subtype that its text is made of; 0 for none.
        package var inner: UInt32
        /// Its relation, for a composite type.
        package var relation: UInt32
        package var hasImmutableOutput: Bool
        package init(
            oid: UInt32, name: String, namespace: UInt32, kind: Character = "b",
            inner: UInt32 = 0, relation: UInt32 = 0, hasImmutableOutput: Bool = true
        ) {
            self.oid = oid
            self.name = name
            self.namespace = namespace
            self.kind = kind
            self.inner = inner
            self.relation = relation
            self.hasImmutableOutput = hasImmutableOutput
        }
    }

    /// A view's or materialized view's query, printed with an empty search_path.
    package struct Definition: Sendable {
        package var relation: UInt32
        package var query: String
        package init(relation: UInt32, query: String) {
            self.relation = relation
            self.query = query
        }
    }

    package var namespaces: [Namespace] = []
    package var classes: [Class] = []
    package var attributes: [Attribute] = []
    package var inheritance: [Inheritance] = []
    package var indexes: [Index] = []
    /// Relations with a unique index whose equality may be another than its columns' own.
    package var looseUniqueIndexes: [UInt32] = []
    package var foreignKeys: [ForeignKey] = []
    package var triggers: [Trigger] = []
    /// Relations with a rule other than a view's own.
    package var rules: [UInt32] = []
    package var dependencies: [Dependency] = []
    package var functions: [Function] = []
    package var operators: [Operator] = []
    /// The functions of user-defined casts.
    package var castFunctions: [UInt32] = []
    package var types: [DataType] = []
    package var definitions: [Definition] = []
    /// The functions of enabled event triggers.
    package var eventTriggerFunctions: [UInt32] = []

    package init() {}
}
