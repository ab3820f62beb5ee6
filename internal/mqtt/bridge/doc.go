// Package bridge implements kratos-transport's broker interface on top of the
// engine. Both public packages stand on it, so that an option or a message
// means the same at the data layer and at the server layer.
package bridge
