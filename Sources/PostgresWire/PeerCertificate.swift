import Crypto
import SwiftASN1

/// What authentication asks of an X.509 certificate that the TLS library has already verified.
///
/// RFC 5280 §4.1: `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }`.
package struct PeerCertificate: Sendable {
    /// The hash of the certificate that SCRAM's `tls-server-end-point` binds to (RFC 5929 §4.1);
    /// nil where its signature names no hash that can be computed, as Ed25519.
    package let serverEndPoint: [UInt8]?
    /// The last, most specific common name of the subject. nil where there is none, or one that
    /// holds a zero byte, as PostgreSQL refuses too (CVE-2009-4034).
    package let commonName: String?

    /// nil for bytes that are no certificate.
    package init?(der: [UInt8]) {
        guard let root = try? DER.parse(der),
            let fields = Self.children(root, of: .sequence), fields.count == 3,
            let signed = Self.children(fields[0], of: .sequence),
            let algorithm = Self.children(fields[1], of: .sequence)
        else { return nil }
        serverEndPoint = Self.hash(algorithm).map { Self.digest(of: der, $0) }
        commonName = Self.commonName(signed)
    }

    private enum HashFunction {
        case sha256, sha384, sha512
    }

    /// MD5 and SHA-1 are replaced by SHA-256, as RFC 5929 says.
    private static func hash(_ algorithm: [ASN1Node]) -> HashFunction? {
        guard let first = algorithm.first,
            let identifier = try? ASN1ObjectIdentifier(
                derEncoded: first)
        else { return nil }
        switch identifier.description {
        // RSA PKCS #1 with MD5, SHA-1 or SHA-256; ECDSA with SHA-1 or SHA-256; DSA with either.
        case "1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.113549.1.1.11",
            "1.2.840.10045.4.1", "1.2.840.10045.4.3.2", "1.2.840.10040.4.3",
            "2.16.840.1.101.3.4.3.2":
            return .sha256
        case "1.2.840.113549.1.1.12", "1.2.840.10045.4.3.3": return .sha384
        case "1.2.840.113549.1.1.13", "1.2.840.10045.4.3.4": return .sha512
        case "1.2.840.113549.1.1.10": return algorithm.count == 2 ? pssHash(algorithm[1]) : .sha256
        default: return nil
        }
    }

    /// RSASSA-PSS names its hash in its parameters; left out, it is SHA-1 (RFC 4055 §3.1).
    private static func pssHash(_ parameters: ASN1Node) -> HashFunction? {
        guard let fields = children(parameters, of: .sequence) else { return nil }
        let tag = ASN1Identifier(tagWithNumber: 0, tagClass: .contextSpecific)
        guard let field = fields.first, field.identifier == tag else { return .sha256 }
        guard let wrapped = children(field, of: tag), wrapped.count == 1,
            let algorithm = children(wrapped[0], of: .sequence), let first = algorithm.first,
            let identifier = try? ASN1ObjectIdentifier(derEncoded: first)
        else { return nil }
        switch identifier.description {
        case "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.1": return .sha256
        case "2.16.840.1.101.3.4.2.2": return .sha384
        case "2.16.840.1.101.3.4.2.3": return .sha512
        default: return nil
        }
    }

    private static func digest(of der: [UInt8], _ function: HashFunction) -> [UInt8] {
        switch function {
        case .sha256: Array(SHA256.hash(data: der))
        case .sha384: Array(SHA384.hash(data: der))
        case .sha512: Array(SHA512.hash(data: der))
        }
    }

    private static func commonName(_ signed: [ASN1Node]) -> String? {
        // The version stands in front, tagged, but for version 1; then serial number, algorithm,
        // issuer, validity, subject.
        let version = ASN1Identifier(tagWithNumber: 0, tagClass: .contextSpecific)
        let subject = signed.first?.identifier == version ? 5 : 4
        guard subject < signed.count, let names = children(signed[subject], of: .sequence) else {
            return nil
        }
        var found: String?
        for name in names {
            for attribute in children(name, of: .set) ?? [] {
                guard let pair = children(attribute, of: .sequence), pair.count == 2,
                    let type = try? ASN1ObjectIdentifier(derEncoded: pair[0]),
                    type.description == "2.5.4.3"
                else { continue }
                found = text(pair[1])
                // One that cannot be read must not leave a less specific one in force.
                if found == nil { return nil }
            }
        }
        return found
    }

    private static func text(_ node: ASN1Node) -> String? {
        let textual: [ASN1Identifier] = [.utf8String, .printableString, .ia5String, .teletexString]
        guard textual.contains(node.identifier), case .primitive(let bytes) = node.content,
            !bytes.isEmpty, bytes.count <= 1024, !bytes.contains(0)
        else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func children(_ node: ASN1Node, of identifier: ASN1Identifier) -> [ASN1Node]? {
        guard node.identifier == identifier, case .constructed(let nodes) = node.content else {
            return nil
        }
        return Array(nodes)
    }
}
