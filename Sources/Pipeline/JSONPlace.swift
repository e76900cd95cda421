/// A value in a document, and where it is.
package struct JSONPlace {
    let value: JSONValue
    fileprivate let path: Path

    /// Put together only for an error.
    fileprivate indirect enum Path {
        case root
        case member(String, of: Path)

        var keys: [any CodingKey] {
            switch self {
            case .root: []
            case .member(let name, let outer): outer.keys + [Name(stringValue: name)]
            }
        }
    }

    fileprivate struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }

        init?(intValue: Int) { nil }
    }

    /// The whole document.
    package init(_ document: JSONValue) {
        value = document
        path = .root
    }

    private init(value: JSONValue, path: Path) {
        self.value = value
        self.path = path
    }

    var decoder: JSONValueDecoder { JSONValueDecoder(value: value, outerPath: path.keys) }

    /// An object's member of that name; nil when it is missing or null.
    func optional(_ name: String) throws -> JSONPlace? {
        guard case .object(let members) = value else {
            // Says what is wrong, in the decoder's words.
            _ = try decoder.container(keyedBy: Name.self)
            return nil
        }
        guard let member = members[name], !member.isNull else { return nil }
        return JSONPlace(value: member, path: .member(name, of: path))
    }

    /// An object's member of that name.
    func member(_ name: String) throws -> JSONPlace {
        if let place = try optional(name) { return place }
        guard value[name] != nil else {
            throw DecodingError.keyNotFound(
                Name(stringValue: name),
                DecodingError.Context(codingPath: path.keys, debugDescription: "there is no such member"))
        }
        return JSONPlace(value: .null, path: .member(name, of: path))
    }

    func string() throws -> String {
        guard case .string(let text) = value else { return try decoder.decode(String.self) }
        return text
    }

    func bool() throws -> Bool {
        guard case .bool(let flag) = value else { return try decoder.decode(Bool.self) }
        return flag
    }

    func int() throws -> Int {
        guard case .int(let number) = value, let exact = Int(exactly: number) else {
            return try decoder.decode(Int.self)
        }
        return exact
    }

    func double() throws -> Double { try decoder.decode(Double.self) }

    /// Anything else, as `Decodable` reads it.
    func decoded<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value { try Value(from: decoder) }
}
