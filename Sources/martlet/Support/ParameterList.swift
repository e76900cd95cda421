import ArgumentParser
import Foundation
import Pipeline

enum ParameterList {
    /// `name=value` words; a value that is JSON is taken as JSON, everything else as text.
    static func parse(_ words: [String]) throws -> [String: JSONValue] {
        var parameters: [String: JSONValue] = [:]
        for word in words {
            guard let split = word.firstIndex(of: "="), split != word.startIndex else {
                throw ValidationError("--parameter \(word): write name=value")
            }
            let name = String(word[..<split])
            let text = String(word[word.index(after: split)...])
            guard parameters[name] == nil else { throw ValidationError("--parameter \(name) is given twice") }
            let json = try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
            parameters[name] = json ?? .string(text)
        }
        return parameters
    }
}
