namespace Mesh.ControlPlane.Model;

/// <summary>
/// What a registry has, by its catalog, and has not told the instances of: that the world lacks them is no knowledge. Immutable.
/// </summary>
/// <param name="Everything">The registry has not been heard at all: it may know any service.</param>
/// <param name="Names">Names of the services, without namespace, which only their instances tell. Never changed once published.</param>
public sealed record Unread(bool Everything, IReadOnlySet<string> Names)
{
    /// <summary>All that is known of is known.</summary>
    public static Unread Nothing { get; } = new(false, new HashSet<string>());

    /// <summary>Not a word of the registry yet.</summary>
    public static Unread All { get; } = new(true, new HashSet<string>());

    /// <summary>Equal by content.</summary>
    public bool Equals(Unread? other) =>
        ReferenceEquals(this, other) || (other is not null && Everything == other.Everything && Names.SetEquals(other.Names));

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Everything, Names.Count);
}
