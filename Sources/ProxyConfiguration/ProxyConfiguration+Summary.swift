extension ProxyConfiguration {
    /// What a person wants to know when the proxy has started: where it listens, what it serves,
    /// and a psql line to paste.
    ///
    /// - Parameters:
    ///   - addresses: where it listens, ports chosen by the system filled in.
    ///   - metrics: likewise; nil when off.
    package func startupSummary(
        addresses: [ListenAddress], metrics: ListenAddress?
    ) -> String {
        let listening = addresses.map(\.description).joined(separator: ", ")
        var text = "Mynah \(ProductVersion.text) listens on \(listening)\n"
        text += "  upstream  \(upstream.database.url(masked: true))\n"
        let lifetime = policy.defaultTTL.map { "at most \($0.configurationText)" }
        text += "  cache     "
        text += cache.isEnabled ? "\(cache.memory), \(lifetime ?? "until invalidated")\n" : "off\n"
        if let directory = snapshot.directory {
            let isEncrypted = snapshot.keyFile != nil || snapshot.keyEnvironment != nil
            text += "  snapshots \(directory)\(isEncrypted ? ", encrypted" : "")\n"
        }
        switch tls.mode {
        case .off: break
        case .allow: text += "  tls       for clients that ask for it\n"
        case .require: text += "  tls       required of clients (not on Unix-domain sockets)\n"
        }
        if !replication.follow.isEmpty {
            let names = replication.follow.map(\.description).joined(separator: " or ")
            text += "  follows   \(names)\(replication.failover ? ", or leads" : "")\n"
        }
        if let address = replication.listen {
            text += "  mirrors   can follow it at \(address), \(replication.mode.rawValue)\n"
        }
        if let metrics {
            text += "  metrics   http://\(metrics)/metrics\n"
        }
        if let address = addresses.first {
            text += "  try it    \(psqlCommand(address))\n"
        }
        return text
    }

    /// A psql line that connects through `address`, to paste into a shell.
    private func psqlCommand(_ address: ListenAddress) -> String {
        var words = ["psql"]
        switch address {
        case .tcp(let host, let port):
            words += ["-h", host, "-p", "\(port)"]
        case .unix(let path):
            // libpq builds the socket's path from a directory and a port.
            let slash = path.lastIndex(of: "/") ?? path.startIndex
            let prefix = ".s.PGSQL."
            let name = path[path.index(after: slash)...]
            words += ["-h", slash == path.startIndex ? "/" : String(path[..<slash])]
            if name.hasPrefix(prefix) {
                words += ["-p", String(name.dropFirst(prefix.count))]
            }
        }
        switch upstream.database {
        case .sqlite(let path):
            let file = path.split(separator: "/").last ?? "database"
            let stem = file.split(separator: ".").first ?? file
            words += ["-U", "mynah", String(stem)]
        case .primary: break
        case .postgresql(let connection):
            if let user = connection.parameters["user"] {
                words += ["-U", user]
            }
            if let database = connection.parameters["dbname"] {
                words.append(database)
            }
        }
        return words.map(Self.shellWord).joined(separator: " ")
    }

    private static func shellWord(_ word: String) -> String {
        let isPlain = word.allSatisfy {
            $0.isASCII && ($0.isLetter || $0.isNumber || "-_./:,@%+".contains($0))
        }
        guard !isPlain || word.isEmpty else { return word }
        return "'" + word.replacing("'", with: "'\\''") + "'"
    }
}
