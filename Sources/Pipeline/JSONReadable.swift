/// A type that reads itself out of a parsed document.
///
/// By default as `Decodable` does it. The messages of which every task has some do it by hand, in a fraction of the time;
/// both ways read the same and refuse the same, with the same errors.
package protocol JSONReadable: Decodable {
    /// - Throws: `DecodingError`, with the path to the place.
    init(_ json: JSONPlace) throws
}

extension JSONReadable {
    package init(_ json: JSONPlace) throws {
        try self.init(from: json.decoder)
    }
}

extension JSONValue: JSONReadable {
    package init(_ json: JSONPlace) { self = json.value }
}
