package envelope

// OrderHeader carries the ordering key of a message, as the CloudEvents
// extension for partitioning does.
const OrderHeader = "partitionkey"
