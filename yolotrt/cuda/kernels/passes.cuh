// Where the results of passes lie: pipeline/device/merge.py and gather.py have the same.

// Results on this GPU: of some tiles, or of the global pass.
struct Pass {
    Header* header;
    Record* records;
    unsigned* bits;
    long long capacity;  // words of `bits`
    int first;           // index of its first image: tiles are counted over all passes, the global pass comes last
    int unused;
};

// The same results on another GPU, or on the host. One of `bits` and `place` is null.
struct Far {
    const Header* header;
    const Record* records;
    const unsigned* bits;
    unsigned* const* place;  // where the address of the bits is, which changes from frame to frame
};
