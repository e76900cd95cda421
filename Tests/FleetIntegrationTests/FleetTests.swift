import Testing

/// Every suite of this target: they share servers that some of them restart and wipe, so all run one after another.
@Suite(.serialized) enum FleetTests {}
