/// Where each value of a configuration was found, so that a problem which shows only at the start
/// (a port in use, a database out of reach) can be reported like one in the file.
package struct KeyOrigins: Sendable, Equatable {
    private let origins: [ConfigurationKey: SectionReader.Origin]

    init(_ document: ConfigurationDocument) {
        var origins: [ConfigurationKey: SectionReader.Origin] = [:]
        for section in ConfigurationKey.Section.allCases where !section.isArray {
            let reader = document.reader(for: section)
            for key in section.keys {
                origins[key] = reader.origin(of: key)
            }
        }
        self.origins = origins
    }

    func origin(of key: ConfigurationKey) -> SectionReader.Origin? {
        origins[key]
    }

    /// Always: where a value stood is no part of what a configuration says.
    package static func == (left: KeyOrigins, right: KeyOrigins) -> Bool {
        true
    }
}

extension ProxyConfiguration {
    /// An error about the value of `key`, which is not one of a rule, with its file and line.
    ///
    /// - Parameters:
    ///   - problem: what is wrong, without secrets.
    ///   - allowed: what would be right, or what to do.
    package func error(
        about key: ConfigurationKey, _ problem: String, allowed: String? = nil
    ) -> ConfigurationError {
        let origin = origins.origin(of: key)
        return ConfigurationError(
            source: origin?.source ?? "configuration", line: origin?.line, key: key.rawValue,
            problem: problem, allowed: allowed)
    }
}
