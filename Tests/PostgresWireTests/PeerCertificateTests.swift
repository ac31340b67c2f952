import Foundation
import TestSupport
import Testing

@testable import PostgresWire

struct PeerCertificateTests {
    /// A certificate in base64, and its digest by the hash of its signature, from another library.
    struct Vector: Sendable, CustomTestStringConvertible {
        let algorithm: String
        let certificate: String
        let digest: String?

        var bytes: [UInt8] { Data(base64Encoded: certificate).map { Array($0) } ?? [] }
        var testDescription: String { algorithm }
    }

    static let vectors = [
        Vector(
            algorithm: "ecdsa-sha256",
            certificate: """
                MIIBHjCBxaADAgECAgEHMAoGCCqGSM49BAMCMA0xCzAJBgNVBAMMAmNhMB4XDTI2MDEwMTAwMDAwMFoX\
                DTI2MDEwMjAwMDAwMFowJTEOMAwGA1UEAwwFb3V0ZXIxEzARBgNVBAMMCmRiLmV4YW1wbGUwWTATBgcq\
                hkjOPQIBBggqhkjOPQMBBwNCAARG4Mj+bQuSj/Y4UZPf7E0VNNqqHhjDrGlajl79bJsu5r7O0tcfkZHc\
                ko2lL3CLFt/GvNJbjTir9YCvS7/OdPn4MAoGCCqGSM49BAMCA0gAMEUCIQD39EVyZYsnE/HthCGFswqw\
                TSnhhqYsYmkA7dSE995RlgIgIa0sT6pGksZCpJWSdwKr1oRx7W6wCVy+oM1619SddoQ=
                """,
            digest:
                "f9025347787f7a2ee73d41c4f9c752d2623bf3adf6c2a34058e21db3726b5048"),
        Vector(
            algorithm: "ecdsa-sha384",
            certificate: """
                MIIBDjCBtaADAgECAgEHMAoGCCqGSM49BAMDMA0xCzAJBgNVBAMMAmNhMB4XDTI2MDEwMTAwMDAwMFoX\
                DTI2MDEwMjAwMDAwMFowFTETMBEGA1UEAwwKZGIuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEH\
                A0IABEbgyP5tC5KP9jhRk9/sTRU02qoeGMOsaVqOXv1smy7mvs7S1x+RkdySjaUvcIsW38a80luNOKv1\
                gK9Lv850+fgwCgYIKoZIzj0EAwMDSAAwRQIgTDH6dA5Vc6oJZzeaHjnAOHdyZOaOD0xTrusMY1KZQcUC\
                IQDqVAU3xHrRZWzeLA3ym9/giKYzNVycrkvSbY2Lm5IHIQ==
                """,
            digest:
                "e3d881cea457edb6c348ac15aca9e66a93be2d0e6cae60bd804c8e32e637b59c"
                + "d22773eff708b5762e01c602eac1c317"),
        Vector(
            algorithm: "ecdsa-sha512",
            certificate: """
                MIIBDjCBtaADAgECAgEHMAoGCCqGSM49BAMEMA0xCzAJBgNVBAMMAmNhMB4XDTI2MDEwMTAwMDAwMFoX\
                DTI2MDEwMjAwMDAwMFowFTETMBEGA1UEAwwKZGIuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEH\
                A0IABEbgyP5tC5KP9jhRk9/sTRU02qoeGMOsaVqOXv1smy7mvs7S1x+RkdySjaUvcIsW38a80luNOKv1\
                gK9Lv850+fgwCgYIKoZIzj0EAwQDSAAwRQIgec94ZDTtPl4Bxurmv7anhHypOTMh3X3mKcYQbnEnhK8C\
                IQDlRGjFOGdxTBNycOH4LrTPK1Z6m4hCQDZkkCvVTuThxg==
                """,
            digest:
                "bf863e3622d67ce180f3e169f155b84b805a2d4f2b55bc8f11be67fc1f19b787"
                + "9b6b056554a0775d57cf59722b8c7b51db12ea1b2cb7170db11ffc6691bc8cd2"),
        Vector(
            algorithm: "rsa-sha256",
            certificate: """
                MIIBzzCBuKADAgECAgEHMA0GCSqGSIb3DQEBCwUAMA0xCzAJBgNVBAMMAmNhMB4XDTI2MDEwMTAwMDAw\
                MFoXDTI2MDEwMjAwMDAwMFowFTETMBEGA1UEAwwKZGIuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49\
                AwEHA0IABEbgyP5tC5KP9jhRk9/sTRU02qoeGMOsaVqOXv1smy7mvs7S1x+RkdySjaUvcIsW38a80luN\
                OKv1gK9Lv850+fgwDQYJKoZIhvcNAQELBQADggEBAI7UrhNyQa2m51JpfrMIt7gp51oXNCL/xYkVsQvu\
                vYwLiYInSShCGeyAP1uqTLnxCd9uDzWOw75FRxsCmWyONhzGawRJq/7ldn/cqGzQ701SjoqMnzKFPJC/\
                3jTxlRo0QSWo97doKNfvjJd0xxy/IwZFLH+a+rA7JzdH44gvOMrk/WM5ze38SnNy/mpGH5jKxEi0VPD2\
                CqYZmWRXHsMmjtXwRfKyJ0gDnR/aT4lM4MmUuv4l98yoUljlseYTQpicEvG4TbOT0ukS+eUVKRAA4vsD\
                vmQgX6pIKHOtgrX5MTEF+wNYkHP8CsnXnoJhJFI8Fdfk4F7XlGjAL9ErSrqIygQ=
                """,
            digest:
                "74366f418ea5db6895e1f64d276217c40caa7e46e105a8b9ce9239493e8d1639"),
        Vector(
            algorithm: "rsa-pss-sha384",
            certificate: """
                MIICLTCB56ADAgECAgEHMDwGCSqGSIb3DQEBCjAvoA8wDQYJYIZIAWUDBAICBQChHDAaBgkqhkiG9w0B\
                AQgwDQYJYIZIAWUDBAICBQAwDTELMAkGA1UEAwwCY2EwHhcNMjYwMTAxMDAwMDAwWhcNMjYwMTAyMDAw\
                MDAwWjAVMRMwEQYDVQQDDApkYi5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAERuDI/m0L\
                ko/2OFGT3+xNFTTaqh4Yw6xpWo5e/WybLua+ztLXH5GR3JKNpS9wixbfxrzSW404q/WAr0u/znT5+DA8\
                BgkqhkiG9w0BAQowL6APMA0GCWCGSAFlAwQCAgUAoRwwGgYJKoZIhvcNAQEIMA0GCWCGSAFlAwQCAgUA\
                A4IBAQCBUurdmAmebioCPzZwtYsdWfbFznHHvBOm+FH7aSlGcEuy5/vEucRvz7JGQSpNOmfKWDsjG4LL\
                +FGGXCulwAyjIByfwc5nKEB9PVumwXt6pkPgjshexGxz7J2sTNqiMazkBbFANPf9p3KAS2jjCwnfb4Bx\
                DQgRGaNcjI10k01LwqqZM4XeLe98dZ1Uoj0Ybn+xiqA363VK1o6F3xGd9Zu83jLBwc2HK8TjIskKrxdU\
                0Ob6vgzJ/aGSIlCgePrAKWEWKNYYIjtFx1WCdNmMfM3dztZX1l7aawCHS5Qk4VKEHZ82V8CiZH4Dc7Z0\
                og9UQxmcbXNkMnKv6u60yHRaDD3K
                """,
            digest:
                "928e0b11d8920b60ff7f56ec3a7e2e1884205a6db20537d8a34f8e9db0a5e347"
                + "a306c5e7371a91723b338eaf7efeb6de"),
        Vector(
            algorithm: "ed25519",
            certificate: """
                MIH9MIGwoAMCAQICAQcwBQYDK2VwMA0xCzAJBgNVBAMMAmNhMB4XDTI2MDEwMTAwMDAwMFoXDTI2MDEw\
                MjAwMDAwMFowFTETMBEGA1UEAwwKZGIuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEbg\
                yP5tC5KP9jhRk9/sTRU02qoeGMOsaVqOXv1smy7mvs7S1x+RkdySjaUvcIsW38a80luNOKv1gK9Lv850\
                +fgwBQYDK2VwA0EAWoYD3+z+eLxEm41IB3qGVrN/ElqUHdedTs9okM7x4UoAqme+eCSTeGoNKmJnKM5U\
                Zip/kLZToqZ0ZicXR8ViBw==
                """,
            digest: nil),
    ]

    @Test("The end point's hash is by the certificate's signature algorithm", arguments: vectors)
    func serverEndPoint(vector: Vector) throws {
        let certificate = try #require(PeerCertificate(der: vector.bytes))
        let hex = certificate.serverEndPoint.map { hash in
            hash.map { String(format: "%02x", $0) }.joined()
        }
        #expect(hex == vector.digest)
    }

    @Test("The most specific common name counts")
    func commonName() throws {
        for vector in Self.vectors {
            #expect(try #require(PeerCertificate(der: vector.bytes)).commonName == "db.example")
        }
    }

    @Test("A common name with a zero byte is none, not the part before it")
    func zeroByte() throws {
        var bytes = Self.vectors[0].bytes
        let name = Array("db.example".utf8)
        let start = try #require(
            bytes.indices.first { bytes[$0...].starts(with: name) })
        bytes[start + 2] = 0
        #expect(try #require(PeerCertificate(der: bytes)).commonName == nil)
    }

    @Test("What is no certificate is refused, whatever it is")
    func hostileBytes() throws {
        #expect(PeerCertificate(der: []) == nil)
        #expect(PeerCertificate(der: [0x30, 0]) == nil)
        #expect(PeerCertificate(der: [0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]) == nil)
        #expect(PeerCertificate(der: [UInt8](repeating: 0x30, count: 5000)) == nil)
        var generator = SeededGenerator(seed: 701)
        var accepted = 0
        for round in 0..<20_000 {
            let original = Self.vectors[round % Self.vectors.count].bytes
            let certificate = PeerCertificate(der: generator.mutated(original))
            if certificate != nil { accepted += 1 }
            if let hash = certificate?.serverEndPoint, ![32, 48, 64].contains(hash.count) {
                Issue.record("a hash of \(hash.count) bytes")
            }
        }
        #expect(accepted > 0)
    }
}
