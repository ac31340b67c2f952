import Foundation
import Upstream

/// Where a key of 32 bytes is kept: in a file, or in a variable of the environment.
struct KeySource {
    enum Place {
        case file(String)
        case variable(String)
    }

    let place: Place
    /// What an error is about: a key of the configuration, or an option.
    let name: String

    /// nil where neither is given.
    ///
    /// - Parameter section: of the configuration.
    init?(section: String, file: String?, variable: String?) {
        if let file {
            self.init(place: .file(file), name: "\(section).key_file")
        } else if let variable {
            self.init(place: .variable(variable), name: "\(section).key_env")
        } else {
            return nil
        }
    }

    init(place: Place, name: String) {
        self.place = place
        self.name = name
    }

    /// Throws `StartError` where there is nothing, others can read it, or `parse` makes no key of it.
    /// Nothing of what is there is shown.
    func read<Key>(
        environment: [String: String], _ parse: (String) -> Key?
    ) throws(StartError) -> Key {
        guard let key = parse(try text(environment)) else {
            throw error("holds no key of 32 bytes", Self.notation)
        }
        return key
    }

    private func text(_ environment: [String: String]) throws(StartError) -> String {
        switch place {
        case .variable(let variable):
            guard let value = environment[variable], !value.isEmpty else {
                throw error(
                    "there is no environment variable \"\(variable)\"",
                    "one that holds the key; \(Self.notation)")
            }
            return value
        case .file(let path):
            if KeyFile.access(path) == .missing {
                throw error("\"\(path)\": no such file", Self.notation)
            }
            guard KeyFile.isPrivate(path) else {
                throw error(
                    "\"\(path)\" can be read by others",
                    "a file of mode 0600, or 0640 where root owns it")
            }
            let unreadable = error("\"\(path)\" cannot be read", "a file that the proxy can read")
            guard let file = FileHandle(forReadingAtPath: path) else { throw unreadable }
            do {
                let data = try file.read(upToCount: Self.longestFile) ?? Data()
                return String(decoding: data, as: UTF8.self)
            } catch {
                throw unreadable
            }
        }
    }

    private func error(_ problem: String, _ allowed: String) -> StartError {
        StartError(key: name, problem: problem, allowed: "allowed: \(allowed)")
    }

    /// In bytes.
    private static let longestFile = 4096
    private static let notation =
        "32 random bytes in hexadecimal or Base64, as `openssl rand -hex 32` makes them"
}
