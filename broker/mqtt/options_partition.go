package mqtt

import (
	"context"
	"errors"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/registry"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/partition"
)

// WithPartitionRegistry assigns the partitions of topics with the level {partition} to the
// replicas that the registry has for the service: those whose name is that of the Kratos
// application in the context of Start, with the ids of kratos.ID. Each partition has one owner;
// a replica that comes or goes moves its own partitions only. The number of partitions is that
// of the configuration, which must assign none itself. While the registry cannot be reached,
// partitions stay where they are. Default: nil, the assignment of the configuration.
func WithPartitionRegistry(d registry.Discovery) broker.Option {
	return with(func(s *client.Settings) {
		s.Config.Partitions.Watch = nil
		if d != nil {
			s.Config.Partitions.Watch = watchReplicas(d)
		}
	})
}

var errNoApplication = errors.New("there is no Kratos application in the context of Start, whose name the registry has")

// watchReplicas returns the function that follows the replicas in a registry.
func watchReplicas(d registry.Discovery) func(ctx context.Context, update func(self string, all []string)) error {
	return func(ctx context.Context, update func(self string, all []string)) error {
		app, ok := kratos.FromContext(ctx)
		if !ok {
			return errNoApplication
		}
		w, err := d.Watch(ctx, app.Name())
		if err != nil {
			return err
		}
		id := func(i *registry.ServiceInstance) string { return i.ID }
		return partition.Follow(ctx, w, id, func(ids []string) { update(app.ID(), ids) })
	}
}
