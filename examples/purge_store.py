"""Keep revocable data in a store instead of a model, delete one record for good, and see that the bytes are gone."""

import numpy as np

import expunge
from expunge.core.example import Example
from expunge.retrieval.byte_scan import markers_of, scan
from expunge.retrieval.datastore import Datastore

records = [
    Example(f"r{i}", f"Where does person {i} live?", f"Person {i} lives in house {i * 7919}.") for i in range(200)
]
vectors = np.random.default_rng(0).normal(size=(len(records), 16)).astype(np.float32)

with Datastore.create("store", name="knowledge", dimensions=16) as store:
    store.add(records, vectors)
    markers = markers_of([records[7].answer], [vectors[7]])
    print(
        "before:", scan([store.path], markers).total(), "hits; search finds", store.search(vectors[7], 1)[0].record_id
    )

    request = expunge.Request(subject="person 7", scope=expunge.Records("r7"), basis="GDPR Art. 17")
    outcome = expunge.unlearn(store, request, "purge", store)
    print("receipt:", outcome.receipts[0].status, f"({outcome.receipts[0].scanned} bytes scanned)")
    print("earned:", expunge.certify(request, outcome).earned)
    print("after:", scan([store.path], markers).total(), "hits; search finds", store.search(vectors[7], 1)[0].record_id)
