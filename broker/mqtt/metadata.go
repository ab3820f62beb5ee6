package mqtt

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/go-kratos/kratos/v2/metadata"
	"github.com/go-kratos/kratos/v2/transport"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// globalPrefix begins the names of Kratos metadata that travels on, beyond the next
// hop.
const globalPrefix = envelope.MetadataPrefix + "global-"

// metadataOf returns what Kratos' metadata middleware would send: the client metadata
// of the context, and the global part of the metadata of the request being handled.
// Under a client transport of this module the middleware has already run, and the
// headers are taken from there. Other keys are not sent, because any subscriber can
// read a message.
func metadataOf(ctx context.Context) (list []client.UserProperty) {
	if tr, ok := transport.FromClientContext(ctx); ok && tr.Kind() == kind {
		h := tr.RequestHeader()
		for _, key := range slices.Sorted(slices.Values(h.Keys())) {
			list = appendValues(list, key, h.Values(key))
		}
		return list
	}
	if md, ok := metadata.FromClientContext(ctx); ok {
		list = appendPrefixed(list, md, envelope.MetadataPrefix)
	}
	if md, ok := metadata.FromServerContext(ctx); ok {
		list = appendPrefixed(list, md, globalPrefix)
	}
	return list
}

// kind is that of the Kratos transport.
const kind = "mqtt"

// appendPrefixed appends in the order of the names, so that the same ones are kept each
// time if not all have room.
func appendPrefixed(list []client.UserProperty, md metadata.Metadata, prefix string) []client.UserProperty {
	for _, key := range slices.Sorted(maps.Keys(md)) {
		if name := strings.ToLower(key); strings.HasPrefix(name, prefix) {
			list = appendValues(list, name, md[key])
		}
	}
	return list
}

func appendValues(list []client.UserProperty, key string, values []string) []client.UserProperty {
	for _, v := range values {
		list = append(list, client.UserProperty{Key: key, Value: v})
	}
	return list
}
