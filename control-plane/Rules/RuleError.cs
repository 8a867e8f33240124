namespace Mesh.ControlPlane.Rules;

/// <summary>Something wrong in a rule file, and what to do about it. Immutable.</summary>
/// <param name="File">Path as the operator knows it.</param>
/// <param name="Line">Line, from 1.</param>
/// <param name="Field">Path of the field, <c>spec.rules[0].backendRefs[1].weight</c>; empty when the whole document or file is meant.</param>
/// <param name="Text">What is wrong.</param>
internal sealed record RuleError(string File, int Line, string Field, string Text)
{
    /// <summary><c>rules/shop.yaml:14: spec.rules[0].backendRefs[1].weight: must be 0 to 1000000, is -5</c>.</summary>
    public override string ToString() => Field.Length == 0 ? $"{File}:{Line}: {Text}" : $"{File}:{Line}: {Field}: {Text}";
}
