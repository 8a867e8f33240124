namespace Mesh.ControlPlane.Identity.Stores;

/// <summary>
/// Where everything lives that identity must not forget: keys, roots, used tokens, grants, revocations. Entries have names of segments
/// (<c>ca/authority</c>, see <see cref="EntryName"/>) and are read and written whole. Shared by all control planes of a mesh, so what must
/// happen once is decided here: <see cref="CreateAsync"/> succeeds for one of all who try. Thread safe. Every failure is a
/// <see cref="StoreException"/>, except cancellation by the caller.
/// </summary>
internal interface IAuthorityStore
{
    /// <summary>Where it is, for people: a folder or a prefix of keys.</summary>
    string Place { get; }

    /// <summary>Reads an entry; null when there is none.</summary>
    Task<StoredEntry?> ReadAsync(string name, CancellationToken stop);

    /// <summary>
    /// Reads all entries below a folder such as <c>revocations</c>, by name. Those that cannot be read are told to <paramref name="unreadable"/>, with
    /// the reason: who can put something between the others must not keep them from being read.
    /// </summary>
    Task<IReadOnlyList<StoredEntry>> ReadAllAsync(string folder, Action<string, StoreException> unreadable, CancellationToken stop);

    /// <summary>Makes an entry that must not exist yet; false, and nothing changed, when it does. Of any number that try, one succeeds.</summary>
    Task<bool> CreateAsync(string name, ReadOnlyMemory<byte> content, CancellationToken stop);

    /// <summary>Replaces an entry if it still is what was seen; false, and nothing changed, when it is not.</summary>
    Task<bool> ReplaceAsync(StoredEntry seen, ReadOnlyMemory<byte> content, CancellationToken stop);

    /// <summary>Removes an entry; false when there was none.</summary>
    Task<bool> DeleteAsync(string name, CancellationToken stop);

    /// <summary>
    /// Waits until something below a folder may have changed since <paramref name="mark"/> (null: answers at once), for a while at most.
    /// Answers with the mark to wait from next. A return is no proof of a change.
    /// </summary>
    Task<string> WaitAsync(string folder, string? mark, CancellationToken stop);
}

/// <summary>Reading where every entry counts. Stateless.</summary>
internal static class AuthorityStoreReading
{
    /// <summary>Reads all entries below a folder; one that cannot be read is an error.</summary>
    public static Task<IReadOnlyList<StoredEntry>> ReadAllAsync(this IAuthorityStore store, string folder, CancellationToken stop) =>
        store.ReadAllAsync(folder, (_, reason) => throw reason, stop);
}

/// <summary>An entry as it was read. Immutable.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Content">Its content, unsealed.</param>
/// <param name="Version">What tells this content from another, to the store that gave it.</param>
internal sealed record StoredEntry(string Name, ReadOnlyMemory<byte> Content, string Version);

/// <summary>The store cannot do what was asked; the message says what, where and what to do.</summary>
internal sealed class StoreException(string message, Exception? inner = null) : Exception(message, inner);
