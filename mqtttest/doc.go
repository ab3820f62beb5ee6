// Package mqtttest starts MQTT brokers for tests, injects faults between a client and a
// broker, and counts lost messages. This is a test of a generated service:
//
//	c := &kratosmqttv1.Settings{Connection: &kratosmqttv1.Connection{Addresses: []string{mqtttest.InProcess(t).URL()}}}
//	srv := mqttserver.Open(c, nil, logger)
//	reportv1.RegisterReportEventsMQTTServer(srv, reports)
//	if err := srv.Start(t.Context()); err != nil {
//		t.Fatal(err)
//	}
//	defer srv.Stop(context.Background())
//	events := reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(srv.Broker()))
//	if err := events.SaveEventReport(t.Context(), &reportv1.RealTimeWarehousingData{EventId: "1"}); err != nil {
//		t.Fatal(err)
//	}
//
// Code that only publishes or asks needs no broker: packages eventfake and brokerfake take the
// place of its connection.
//
// # Brokers
//
// [InProcess] needs no installed program. It does exactly what the test requests and keeps
// every message that it accepted, so use it for tests of delivery. [Mosquitto] and [RabbitMQ]
// start the real program on free loopback ports with a private data directory, and stop it at
// the end of the test; if the program is not installed, they skip the test, or fail it if the
// environment variable CI is "true". All implement [Broker], so a test can run with each of
// them; [Features] describes their differences. [ScriptedBroker] and [Raw] exchange bytes, valid
// or not, with a client or a broker. Package cluster starts clusters.
//
// # Faults
//
// [InProcess] refuses, drops, delays, repeats, cuts, freezes and crashes on demand, see
// package broker. [Proxy] does a part of that in front of a real broker: it cuts, refuses,
// stalls, delays, discards one direction, drops or cuts at a given packet, and shows every
// packet to the test.
//
// # Results
//
// [Recorder] compares the ids that a publisher reported as accepted with the ids that were
// handled: lost, duplicated, unexpected. [Eventually] waits for a condition with a deadline, so
// that no test needs to sleep. Package conformance tests everything that users of a
// kratos-transport broker.Broker rely on.
package mqtttest
