// Package cluster starts clusters of brokers for tests: all nodes on loopback, on free ports,
// with folders of the test's own. Nodes are numbered from 0, and can be killed, stopped and
// started one by one:
//
//	brokers := cluster.Scripted(t, 3, cluster.LikeGMQTT)
//	c := &kratosmqttv1.Connection{Addresses: cluster.URLs(brokers), ClientId: "saver"}
//	…
//	brokers.Kill(1)
//
// [Scripted] is the in-process broker with several nodes. It needs no installed program, does
// nothing by chance unless the test says so, and imitates how other clusters lose messages, see
// [Preset]. Its counts tell what the cluster lost by itself.
//
// [NATS] and [Gmqtt] are the real programs.
//
// [Links] puts a proxy in front of each node, to cut one client off from one node.
package cluster
