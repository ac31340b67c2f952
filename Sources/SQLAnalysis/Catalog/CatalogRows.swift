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

    /// pg_attribute: columns of user relations and composite types.
    package struct Attribute: Sendable {
        package var relation: UInt32
        package var name: String
        package var type: UInt32
        package init(relation: UInt32, name: String, type: UInt32) {
            self.relation = relation
            self.name = name
            self.type = type
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

    /// A foreign key whose action changes the referencing table.
    package struct Cascade: Sendable {
        package var referencing: UInt32
        package var referenced: UInt32
        /// Whether an action (CASCADE, SET NULL, SET DEFAULT) is declared; TRUNCATE … CASCADE
        /// reaches the table in any case.
        package var hasAction: Bool
        package init(referencing: UInt32, referenced: UInt32, hasAction: Bool) {
            self.referencing = referencing
            self.referenced = referenced
            self.hasAction = hasAction
        }
    }

    /// An enabled trigger that a user made.
    package struct Trigger: Sendable {
        package var relation: UInt32
        package var function: UInt32
        package var events: TriggerEvents
        package init(relation: UInt32, function: UInt32, events: TriggerEvents = .all) {
            self.relation = relation
            self.function = function
            self.events = events
        }
    }

    /// A function that runs when the relation is read or written: in a default, a constraint
    /// (of a domain type of one of its columns too), a policy, an index, a partition key, the
    /// condition of a trigger.
    package struct Dependency: Sendable {
        package var relation: UInt32
        package var function: UInt32
        package init(relation: UInt32, function: UInt32) {
            self.relation = relation
            self.function = function
        }
    }

    /// A function that runs when a value becomes one of this type: in a constraint or default of a
    /// domain that it is, or is made of.
    package struct TypeDependency: Sendable {
        package var type: UInt32
        package var function: UInt32
        package init(type: UInt32, function: UInt32) {
            self.type = type
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
        /// The body of a SQL or PL/pgSQL function; empty for the server's own. For a user-defined
        /// aggregate the names of the functions that it is made of.
        package var source: String
        /// The CREATE FUNCTION statement of a PL/pgSQL or SQL function, where it is known.
        package var definition: String
        package init(
            oid: UInt32, name: String, namespace: UInt32, volatility: Character,
            language: String = "internal", argumentTypes: [UInt32] = [], defaultCount: Int = 0,
            isVariadic: Bool = false, resultType: UInt32 = 0, source: String = "",
            definition: String = ""
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
            self.definition = definition
        }

        /// Stands for the language of a user-defined aggregate.
        package static let aggregateLanguage = "aggregate"
    }

    /// A user-defined operator.
    package struct Operator: Sendable {
        package var name: String
        package var function: UInt32
        package init(name: String, function: UInt32) {
            self.name = name
            self.function = function
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

    /// A row-level security policy, printed with an empty search_path.
    package struct Policy: Sendable {
        package var relation: UInt32
        /// USING, as an expression; nil where there is none.
        package var condition: String?
        package init(relation: UInt32, condition: String?) {
            self.relation = relation
            self.condition = condition
        }
    }

    package var namespaces: [Namespace] = []
    package var classes: [Class] = []
    package var attributes: [Attribute] = []
    package var inheritance: [Inheritance] = []
    package var cascades: [Cascade] = []
    package var triggers: [Trigger] = []
    /// Relations with a rule other than a view's own.
    package var rules: [UInt32] = []
    package var dependencies: [Dependency] = []
    package var typeDependencies: [TypeDependency] = []
    package var policies: [Policy] = []
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
