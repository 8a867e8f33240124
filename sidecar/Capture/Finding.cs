namespace Mesh.Sidecar.Capture;

/// <summary>How good what check found is.</summary>
internal enum Grade
{
    /// <summary>Works.</summary>
    Works,

    /// <summary>Good to know.</summary>
    Note,

    /// <summary>Does not work.</summary>
    Broken,
}

/// <summary>One thing check found.</summary>
internal readonly record struct Finding(Grade Grade, string Text)
{
    /// <summary>Something that works.</summary>
    public static Finding Works(string text) => new(Grade.Works, text);

    /// <summary>Something to know.</summary>
    public static Finding Note(string text) => new(Grade.Note, text);

    /// <summary>Something that does not work.</summary>
    public static Finding Broken(string text) => new(Grade.Broken, text);

    /// <inheritdoc/>
    public override string ToString() => $"{(Grade == Grade.Works ? "works " : Grade == Grade.Note ? "note  " : "BROKEN")} {Text}";
}
