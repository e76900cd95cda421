/// The metrics that are known by name, so that names, units and meanings stand in one place.
package struct MetricCatalogue: Sendable {
    private let definitions: [String: MetricDefinition]

    package init(_ definitions: [MetricDefinition]) {
        self.definitions = Dictionary(definitions.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
    }

    /// The definition of this name; nil for one that is not in the catalogue.
    package subscript(name: String) -> MetricDefinition? {
        definitions[name]
    }

    /// All definitions, by name.
    package var all: [MetricDefinition] {
        definitions.values.sorted { $0.name < $1.name }
    }

    /// This catalogue with more definitions.
    package func adding(_ more: [MetricDefinition]) -> MetricCatalogue {
        MetricCatalogue(Array(definitions.values) + more)
    }
}
