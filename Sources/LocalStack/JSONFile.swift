import FoundationEssentials

/// A small JSON file of the stack's folder: people may read it, so it is pretty and sorted.
struct JSONFile<Content: Codable> {
    let path: String

    /// The content; nil when there is no file.
    /// - Throws: `dataFolder` when it is not what the stack wrote.
    func load() throws(StackError) -> Content? {
        guard let text = try FileSystem.read(path) else { return nil }
        do {
            return try JSONDecoder().decode(Content.self, from: Data(text.utf8))
        } catch {
            throw StackError(
                .dataFolder, "'\(path)' is damaged (\(error)); stop the stack's servers and delete the file")
        }
    }

    func save(_ content: Content) throws(StackError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            let data = try encoder.encode(content)
            try FileSystem.write(String(decoding: data, as: UTF8.self) + "\n", to: path)
        } catch let error as StackError {
            throw error
        } catch {
            throw StackError(.dataFolder, "cannot encode '\(path)': \(error)")
        }
    }
}
