package event

import "hash/crc32"

// PartitionLevel is the level of a topic that stands for the partition of a message, as in
// reports/{partition}/event.
const PartitionLevel = "{partition}"

// PartitionOf returns the partition of a key among n, from 0 to n-1: the CRC-32 of its UTF-8
// bytes that zlib, gzip and Ethernet use (polynomial 0x04C11DB7, reflected), modulo n. The rule
// does not change, so that devices and programs in other languages compute the same:
// PartitionOf("123456789", 16) is 0xCBF43926 modulo 16, which is 6. It is 0 if n is less than 2.
func PartitionOf(key string, n int) int {
	if n < 2 {
		return 0
	}
	return int(int64(crc32.ChecksumIEEE([]byte(key))) % int64(n))
}
