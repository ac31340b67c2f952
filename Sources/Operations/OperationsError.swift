/// Why the HTTP endpoint could not start.
package enum OperationsError: Error, CustomStringConvertible {
    case cannotListen(host: String, port: Int, reason: String)

    package var description: String {
        switch self {
        case .cannotListen(let host, let port, let reason):
            let address = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
            return "listen.metrics: cannot listen on \(address): \(reason)"
        }
    }
}
