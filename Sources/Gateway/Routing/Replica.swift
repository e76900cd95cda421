import NIOCore
import Pipeline

/// A replica as the requests see it: whom to ask, and the bytes that every request to it has.
final class Replica: Sendable {
    let configuration: ReplicaConfiguration
    /// Unlike any other's of this process, ever.
    let id: Int
    /// Mixed into the rendezvous hash: the same in every gateway.
    let seed: UInt64
    /// The header lines that belong to it.
    let fields: ByteBuffer
    /// The model's name as a JSON string.
    let servedName: ByteBuffer
    /// `host:port`, as a URL has it.
    let address: String
    /// `model:version`.
    var label: String { "\(configuration.model):\(configuration.version)" }

    init(_ configuration: ReplicaConfiguration, id: Int) {
        self.configuration = configuration
        self.id = id
        let isIPv6 = configuration.host.contains(":")
        let host = isIPv6 ? "[\(configuration.host)]" : configuration.host
        address = "\(host):\(configuration.port)"
        seed = Hash.of(address.utf8)
        var fields = "host: \(address)\r\n"
        if let credential = configuration.credential { fields += "authorization: Bearer \(credential)\r\n" }
        self.fields = ByteBuffer(string: fields)
        servedName = ByteBuffer(string: JSONValue.string(configuration.servedName).canonicalJSON)
    }
}
