using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// The HTTP/2 clients of a cluster, one for each terms its endpoints are called on: a connection made on other terms is out of reach of
/// a request, whatever its address. Usually there is one; when certificates, roots or expected identities change, the next request begins a
/// new one and the old ones get no requests any more. Hangs on the cluster's state. Thread safe; finding takes no lock.
/// </summary>
internal sealed class Http2Clients(Func<DialTerms?, HttpMessageInvoker> make, Action<HttpMessageInvoker> retire) : IDisposable
{
    private const int Most = 4;
    private readonly Lock gate = new();
    private volatile Entry[] entries = [];

    /// <summary>The client for requests on these terms; null is plaintext.</summary>
    public HttpMessageInvoker On(DialTerms? terms)
    {
        foreach (var entry in entries)
        {
            if (ReferenceEquals(entry.Terms, terms)) return entry.Client;
        }

        lock (gate) return Find(terms) ?? Begin(terms);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (gate)
        {
            foreach (var entry in entries) entry.Client.Dispose();
            entries = [];
        }
    }

    private HttpMessageInvoker? Find(DialTerms? terms)
    {
        for (var i = 0; i < entries.Length; i++)
        {
            if (!Equals(entries[i].Terms, terms)) continue;
            // Equal terms of a newer snapshot: found by reference next time.
            var next = entries.ToArray();
            next[i] = next[i] with { Terms = terms };
            entries = next;
            return next[i].Client;
        }

        return null;
    }

    /// <summary>Terms with other credentials than the newest do not come back; of those with other identities the last few are kept.</summary>
    private HttpMessageInvoker Begin(DialTerms? terms)
    {
        var client = make(terms);
        var kept = entries.Where(e => terms is null || e.Terms is null || ReferenceEquals(e.Terms.Credentials, terms.Credentials)).Take(Most - 1).ToList();
        foreach (var old in entries.Except(kept)) retire(old.Client);
        entries = [new Entry(terms, client), .. kept];
        return client;
    }

    private sealed record Entry(DialTerms? Terms, HttpMessageInvoker Client);
}
