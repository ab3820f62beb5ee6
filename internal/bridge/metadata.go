package bridge

import (
	"context"
	"strings"

	"github.com/go-kratos/kratos/v2/metadata"
	"github.com/go-kratos/kratos/v2/transport"
)

// Prefixes of Kratos metadata: what travels one hop, and what travels on.
const (
	metadataPrefix = "x-md-"
	globalPrefix   = "x-md-global-"
)

// addMetadata adds what Kratos' metadata middleware would send: the client
// metadata of the context, and the global part of what came with the request
// that is being handled. Under a client transport of ours that middleware has
// done it already, and the headers are taken from there. Other keys stay in
// the process: a message is read by whoever subscribes.
func addMetadata(ctx context.Context, d *draft) {
	if tr, ok := transport.FromClientContext(ctx); ok && tr.Kind() == kind {
		h := tr.RequestHeader()
		for _, key := range h.Keys() {
			addValues(d, key, h.Values(key))
		}
		return
	}
	if md, ok := metadata.FromClientContext(ctx); ok {
		addPrefixed(d, md, metadataPrefix)
	}
	if md, ok := metadata.FromServerContext(ctx); ok {
		addPrefixed(d, md, globalPrefix)
	}
}

// kind is that of the Kratos transport.
const kind = "mqtt"

func addPrefixed(d *draft, md metadata.Metadata, prefix string) {
	for key, values := range md {
		if key = strings.ToLower(key); strings.HasPrefix(key, prefix) {
			addValues(d, key, values)
		}
	}
}

func addValues(d *draft, key string, values []string) {
	for _, v := range values {
		d.user(key, v)
	}
}
