/// Finds what each function may do besides computing its result, through everything it calls.
struct FunctionJudge {
    let behaviours: [UInt32: FunctionBehaviour]

    init(_ rows: CatalogRows) {
        var behaviours: [UInt32: FunctionBehaviour] = [:]
        /// What mentioning a name in a body may do: functions, views, tables with opaque code.
        var names: [String: FunctionBehaviour] = [:]
        var operators: [String: FunctionBehaviour] = [:]
        var bodies: [(subject: Subject, words: FunctionBodyScanner.Words)] = []

        for function in rows.functions {
            if function.oid < CatalogBuilder.firstUserOID {
                behaviours[function.oid] = BuiltinFunctions.behaviour(
                    name: function.name, isVolatile: function.volatility == "v")
            } else if function.language == "c" || function.language == "internal" {
                // Compiled code is trusted to be what it is declared as.
                let isHarmless =
                    function.volatility != "v"
                    || BuiltinFunctions.harmlessExtensions.contains(function.name)
                behaviours[function.oid] = isHarmless ? [] : .opaque
            } else {
                let words = FunctionBodyScanner.words(of: function)
                behaviours[function.oid] = words.behaviour
                bodies.append((.function(function), words))
            }
            let behaviour = behaviours[function.oid] ?? .opaque
            if !behaviour.isEmpty { names[function.name, default: []].formUnion(behaviour) }
        }
        let classNames = Dictionary(
            rows.classes.map { ($0.oid, $0.name) }, uniquingKeysWith: { first, _ in first })
        for definition in rows.definitions {
            guard let name = classNames[definition.relation] else { continue }
            bodies.append(
                (.view(name), FunctionBodyScanner.words(ofText: definition.query, isSQL: true)))
        }

        // Behaviours only grow and are few, so this ends.
        var changed = true
        while changed {
            changed = false
            for entry in rows.operators {
                let behaviour = behaviours[entry.function] ?? .opaque
                if !behaviour.isEmpty {
                    operators[entry.name, default: []].formUnion(behaviour)
                }
            }
            let casts = rows.castFunctions.reduce(into: FunctionBehaviour()) {
                $0.formUnion(behaviours[$1] ?? .opaque)
            }
            for dependency in rows.dependencies {
                guard let name = classNames[dependency.relation] else { continue }
                let behaviour = behaviours[dependency.function] ?? .opaque
                if !behaviour.isEmpty { names[name, default: []].formUnion(behaviour) }
            }
            for body in bodies {
                var behaviour = body.words.behaviour.union(casts)
                for name in body.words.names {
                    if let known = names[name] { behaviour.formUnion(known) }
                }
                for name in body.words.operators {
                    if let known = operators[name] { behaviour.formUnion(known) }
                }
                guard !behaviour.isEmpty else { continue }
                let name = body.subject.name
                if case .function(let function) = body.subject,
                    behaviours[function.oid] != behaviour
                {
                    behaviours[function.oid] = behaviour
                    changed = true
                }
                if !behaviour.isSubset(of: names[name] ?? []) {
                    names[name, default: []].formUnion(behaviour)
                    changed = true
                }
            }
        }
        self.behaviours = behaviours
    }

    private enum Subject {
        case function(CatalogRows.Function)
        case view(String)

        var name: String {
            switch self {
            case .function(let function): function.name
            case .view(let name): name
            }
        }
    }
}
