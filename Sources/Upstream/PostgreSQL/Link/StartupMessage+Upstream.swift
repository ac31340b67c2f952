import PostgresWire

extension StartupMessage {
    /// The client's startup with what the connection string overrides or adds. Protocol options
    /// (`_pq_.`) are between client and proxy.
    init(settings: PostgreSQLUpstreamSettings, startup: SessionStartup) {
        var parameters = [
            Parameter(name: "user", value: settings.user ?? startup.user),
            Parameter(name: "database", value: settings.database ?? startup.database),
        ]
        for parameter in startup.parameters
        where !parameter.name.hasPrefix("_pq_.")
            && !["user", "database", "replication"].contains(parameter.name)
        {
            parameters.append(Parameter(name: parameter.name, value: parameter.value))
        }
        if let replication = startup.replication {
            parameters.append(Parameter(name: "replication", value: replication.parameter))
        }
        for added in settings.parameters {
            guard let index = parameters.lastIndex(where: { $0.name == added.name }) else {
                parameters.append(Parameter(name: added.name, value: added.value))
                continue
            }
            // The server reads options from left to right: the client's come last and win.
            if added.name == "options" {
                parameters[index].value = "\(added.value) \(parameters[index].value)"
            }
        }
        self.init(parameters: parameters)
    }
}
